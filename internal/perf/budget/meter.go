package budget

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Meter counts the operations of disks and connections. It is safe for concurrent use.
type Meter struct {
	// WriteDelay is an extra delay of each write. In virtual time, where other work takes
	// no time, it makes writers batch in the same way on every machine. Default: no
	// delay.
	WriteDelay time.Duration

	writes, bytes, syncs, reads, mapped atomic.Int64
}

// A Reading holds the counts of a Meter.
type Reading struct {
	Writes, Bytes int64 // write calls, and the bytes that they wrote
	Syncs         int64
	Reads         int64
	Mapped        int64 // bytes written to mapped files, without a write call
}

// Read returns the counts so far.
func (m *Meter) Read() Reading {
	return Reading{
		Writes: m.writes.Load(), Bytes: m.bytes.Load(), Syncs: m.syncs.Load(), Reads: m.reads.Load(), Mapped: m.mapped.Load(),
	}
}

// Since returns the counts since an earlier reading.
func (m *Meter) Since(r Reading) Reading {
	now := m.Read()
	return Reading{
		Writes: now.Writes - r.Writes, Bytes: now.Bytes - r.Bytes, Syncs: now.Syncs - r.Syncs,
		Reads: now.Reads - r.Reads, Mapped: now.Mapped - r.Mapped,
	}
}

func (m *Meter) wrote(n int) {
	m.writes.Add(1)
	m.bytes.Add(int64(n))
	if m.WriteDelay > 0 {
		time.Sleep(m.WriteDelay)
	}
}

// Disk returns a counted view of a disk.
func (m *Meter) Disk(fs seglog.FS) seglog.FS { return disk{fs, m} }

type disk struct {
	seglog.FS
	m *Meter
}

func (d disk) OpenFile(name string, flag int) (seglog.File, error) {
	f, err := d.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return file{f, d.m}, nil
}

func (d disk) Map(name string, size int64) (seglog.File, error) {
	f, err := d.FS.Map(name, size)
	if err != nil {
		return nil, err
	}
	return mapped{f, d.m}, nil
}

type mapped struct {
	seglog.File
	m *Meter
}

func (f mapped) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	f.m.mapped.Add(int64(n))
	return n, err
}

type file struct {
	seglog.File
	m *Meter
}

func (f file) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	f.m.wrote(n)
	return n, err
}

func (f file) ReadAt(p []byte, at int64) (int, error) {
	f.m.reads.Add(1)
	return f.File.ReadAt(p, at)
}

func (f file) Sync() error {
	f.m.syncs.Add(1)
	return f.File.Sync()
}

// Conn returns a counted view of a connection.
func (m *Meter) Conn(c net.Conn) net.Conn { return conn{c, m} }

type conn struct {
	net.Conn
	m *Meter
}

func (c conn) Read(p []byte) (int, error) {
	c.m.reads.Add(1)
	return c.Conn.Read(p)
}

func (c conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.m.wrote(n)
	return n, err
}

// Listener returns a view of a listener whose connections are counted.
func (m *Meter) Listener(l net.Listener) net.Listener { return listener{l, m} }

type listener struct {
	net.Listener
	m *Meter
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.m.Conn(c), nil
}
