//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// bareWindow is the number of messages in flight of the bare pipeline's publisher,
// the default of holdfast's client.
const bareWindow = 65536

// A nodeSpec is the specification of a node of the bare pipeline.
type nodeSpec struct {
	File  string
	Bytes int64  // size of the file at the end
	Next  string // address of the next node; empty at the last
	Fill  int    // unless 0, the node writes a file of this many messages and then reads it
	Size  int    // of a body
}

// A nodeReady is the answer of a node that listens.
type nodeReady struct{ Address string }

// A bareJob is the specification of the bare pipeline's client process.
type bareJob struct {
	job
	Address string
}

// runBarePublish runs a publisher, a first and a second node: B1 and B2.
func runBarePublish(ctx context.Context, s *session, dir string, j job) (sample, error) {
	bytes := int64(j.Messages+warmUp) * int64(frameHead+j.Size)
	return s.runBare(ctx, j, nodeSpec{File: filepath.Join(dir, "b"), Bytes: bytes}, nodeSpec{File: filepath.Join(dir, "a"), Bytes: bytes})
}

// runBareReplay runs a node that reads a file, and a client that counts the frames: B3.
func runBareReplay(ctx context.Context, s *session, dir string, j job) (sample, error) {
	bytes := int64(j.Messages) * int64(frameHead+j.Size)
	return s.runBare(ctx, j, nodeSpec{File: filepath.Join(dir, "a"), Bytes: bytes, Fill: j.Messages, Size: j.Size})
}

// runBare starts nodes, each sending to the one started before it, and a client of the last.
func (s *session) runBare(ctx context.Context, j job, nodes ...nodeSpec) (sample, error) {
	var ready nodeReady
	for _, n := range nodes {
		n.Next = ready.Address
		p := s.child(ctx, "bare-node", n)
		if err := p.startWithOutput(); err != nil {
			return nil, err
		}
		defer p.kill()
		if err := p.readAnswer(&ready); err != nil {
			return nil, err
		}
	}
	return s.load(ctx, "bare-load", bareJob{j, ready.Address})
}

// runRawSync is the reference of B2: repeatedly one append of 4 KiB to a preallocated
// file and one fdatasync.
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

// createFile makes a preallocated file and syncs it.
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
