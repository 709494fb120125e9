//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// bareWindow is how many messages the bare pipeline's publisher has in flight: as
// many as holdfast's client by default.
const bareWindow = 65536

// A nodeSpec is what a node of the bare pipeline is told.
type nodeSpec struct {
	File  string
	Bytes int64  // that the file will hold at the end
	Next  string // address of the node behind it; empty at the last
	Fill  int    // unless 0, it is a reader of a file with so many messages, which it writes first
	Size  int    // of a body
}

// A nodeReady is what a node says when it listens.
type nodeReady struct{ Address string }

// A bareJob is what the process of the bare pipeline's client is told.
type bareJob struct {
	job
	Address string
}

// runBarePublish runs publisher, first and second node: B1 and B2.
func runBarePublish(ctx context.Context, b *session, dir string, j job) (sample, error) {
	bytes := int64(j.Messages+warmUp) * int64(frameHead+j.Size)
	return b.runBare(ctx, j, nodeSpec{File: filepath.Join(dir, "b"), Bytes: bytes}, nodeSpec{File: filepath.Join(dir, "a"), Bytes: bytes})
}

// runBareReplay runs a reader of a file and who counts what it sends: B3.
func runBareReplay(ctx context.Context, b *session, dir string, j job) (sample, error) {
	bytes := int64(j.Messages) * int64(frameHead+j.Size)
	return b.runBare(ctx, j, nodeSpec{File: filepath.Join(dir, "a"), Bytes: bytes, Fill: j.Messages, Size: j.Size})
}

// runBare starts nodes, each in front of the one before it, and a client at the last.
func (b *session) runBare(ctx context.Context, j job, nodes ...nodeSpec) (sample, error) {
	var ready nodeReady
	for _, n := range nodes {
		n.Next = ready.Address
		p := b.child(ctx, "bare-node", n)
		if err := p.startWithOutput(); err != nil {
			return nil, err
		}
		defer p.kill()
		if err := p.readAnswer(&ready); err != nil {
			return nil, err
		}
	}
	return b.load(ctx, "bare-load", bareJob{j, ready.Address})
}

// runRawSync is the yardstick of B2: one fdatasync after an append of 4 KiB to a
// preallocated file, again and again.
func runRawSync(_ context.Context, _ *session, dir string, _ job) (sample, error) {
	const n, page = 2000, 4096
	f, err := createFile(filepath.Join(dir, "raw"), (n+warmUp)*page)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var at int64
	data := make([]byte, page)
	return latencies(n, func() error {
		_, err := f.WriteAt(data, at)
		at += page
		return errors.Join(err, f.Sync())
	})
}

// createFile makes a preallocated file whose space is on disk.
func createFile(name string, bytes int64) (seglog.File, error) {
	f, err := seglog.OS.OpenFile(name, os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err = f.Preallocate(bytes); err == nil {
		err = f.Sync()
	}
	return f, err
}
