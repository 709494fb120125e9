//go:build !unix

package outbound

import "syscall"

func newRaw(syscall.Conn) tryWriter { return nil }
