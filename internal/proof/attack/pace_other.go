//go:build !unix

package main

import "time"

// pace rests a little, where the time that a process has taken is not known.
func pace() { time.Sleep(time.Millisecond) }
