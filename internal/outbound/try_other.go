//go:build !unix

package outbound

import "syscall"

func newRawConn(syscall.Conn) tryWriter { return nil }
