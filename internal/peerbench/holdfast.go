//go:build linux

package main

import (
	"context"
	"errors"
)

func benchHoldfast(ctx context.Context, b *bench, dir string, j job) (sample, error) {
	return nil, errors.New("not there")
}
