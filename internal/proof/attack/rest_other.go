//go:build !unix

package main

import "time"

// restToHalfCore rests a little, where the time that a process has taken is not known.
func restToHalfCore() { time.Sleep(time.Millisecond) }
