//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// readBuffer is the size of a read from a connection.
const readBuffer = 256 << 10

// serveBare runs a node of the bare pipeline. It answers with its address, serves
// one connection, and ends with that.
func serveBare(spec []byte) error {
	var n nodeSpec
	if err := json.Unmarshal(spec, &n); err != nil {
		return err
	}
	f, err := createFile(n.File, n.Bytes)
	if err != nil {
		return err
	}
	defer f.Close()
	if n.Fill > 0 {
		if err := n.fill(f); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return err
	}
	defer l.Close()
	if err := writeAnswer(nodeReady{l.Addr().String()}); err != nil {
		return err
	}
	up, err := l.Accept()
	if err != nil {
		return err
	}
	defer up.Close()
	if n.Fill > 0 {
		return n.send(f, up)
	}
	return n.relay(f, up)
}

// fill writes the file that send reads.
func (n *nodeSpec) fill(f seglog.File) error {
	var at int64
	var chunk []byte
	for i := range n.Fill {
		chunk = appendFrame(chunk, body(uint64(i), n.Size))
		if len(chunk) < readBuffer && i < n.Fill-1 {
			continue
		}
		if _, err := f.WriteAt(chunk, at); err != nil {
			return err
		}
		at, chunk = at+int64(len(chunk)), chunk[:0]
	}
	return f.Sync()
}

// send reads the file from the beginning, checks each frame and sends it.
func (n *nodeSpec) send(f seglog.File, to io.Writer) error {
	return eachChunk(io.NewSectionReader(f, 0, n.Bytes), func(chunk []byte, _ int) error {
		_, err := to.Write(chunk)
		return err
	})
}

// eachChunk calls handle with the complete frames of each read from r.
func eachChunk(r io.Reader, handle func(chunk []byte, frames int) error) error {
	buf := make([]byte, readBuffer)
	kept := 0
	for {
		got, err := r.Read(buf[kept:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kept += got
		length, frames, err := scan(buf[:kept])
		if err == nil && frames > 0 {
			err = handle(buf[:length], frames)
		}
		if err != nil {
			return err
		}
		kept = copy(buf, buf[length:kept])
	}
}

// A node appends received frames to its file, sends them to the next node, and acks
// those that are durable here and there.
type node struct {
	file seglog.File
	up   net.Conn // brings frames and gets acks
	next net.Conn // gets frames and brings acks; nil at the last node

	mu        sync.Mutex
	changed   sync.Cond // of mu
	written   uint64    // guarded by mu: frames in the file
	durable   uint64    // guarded by mu: synced frames
	nextAcked uint64    // guarded by mu: acked by the next node
}

// relay runs a node until its connection ends.
func (n *nodeSpec) relay(f seglog.File, up net.Conn) error {
	node := &node{file: f, up: up}
	node.changed.L = &node.mu
	steps := []func() error{node.receive, node.sync, node.ack}
	if n.Next != "" {
		next, err := net.Dial("tcp", n.Next)
		if err != nil {
			return err
		}
		defer next.Close()
		node.next, steps = next, append(steps, node.receiveAcks)
	}
	ended := make(chan error, len(steps))
	for _, step := range steps {
		go func() { ended <- step() }()
	}
	return <-ended // the first step that ends also ends the process
}

// receive receives frames until the publisher ends.
func (n *node) receive() error {
	var at int64
	return eachChunk(n.up, func(chunk []byte, frames int) error {
		if n.next != nil { // first, so that both disks work at the same time
			if _, err := n.next.Write(chunk); err != nil {
				return err
			}
		}
		if _, err := n.file.WriteAt(chunk, at); err != nil {
			return err
		}
		at += int64(len(chunk))
		n.update(func() { n.written += uint64(frames) })
		return nil
	})
}

// update changes a count and wakes the goroutines that wait for it.
func (n *node) update(change func()) {
	n.mu.Lock()
	change()
	n.mu.Unlock()
	n.changed.Broadcast()
}

// await waits until a count is above seen and returns it.
func (n *node) await(seen uint64, count func() uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	for count() <= seen {
		n.changed.Wait()
	}
	return count()
}

// sync syncs the file repeatedly, each time for the frames written during the sync before.
func (n *node) sync() error {
	for durable := uint64(0); ; {
		durable = n.await(durable, func() uint64 { return n.written })
		if err := n.file.Sync(); err != nil {
			return err
		}
		n.update(func() { n.durable = durable })
	}
}

// ack sends the number of frames that are durable on this node and all behind it.
func (n *node) ack() error {
	for acked := uint64(0); ; {
		acked = n.await(acked, func() uint64 {
			if n.next == nil {
				return n.durable
			}
			return min(n.durable, n.nextAcked)
		})
		if _, err := n.up.Write(binary.LittleEndian.AppendUint64(nil, acked)); err != nil {
			return err
		}
	}
}

// receiveAcks receives the acks of the next node.
func (n *node) receiveAcks() error {
	return eachAck(n.next, func(acked uint64) (more bool) {
		n.update(func() { n.nextAcked = acked })
		return true
	})
}

// eachAck calls handle for each ack until handle returns false.
func eachAck(r io.Reader, handle func(acked uint64) (more bool)) error {
	var b [8]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		if !handle(binary.LittleEndian.Uint64(b[:])) {
			return nil
		}
	}
}
