//go:build !mut

package client

func waits(*conn) bool { return false }
