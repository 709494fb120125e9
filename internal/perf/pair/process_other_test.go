//go:build !linux

package pair_test

import "errors"

func start() error { return errors.New("for Linux") }
