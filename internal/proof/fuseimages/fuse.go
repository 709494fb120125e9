// Package fuseimages is the part of package images that needs a file system of
// the kernel: the stores that are bbolt databases read their file through a
// memory map. Each disk in memory is mounted (FUSE) as a directory, whose
// writes, truncations, syncs and names it records, loses and refuses as it
// does for the stores that know it.
package fuseimages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A Mount is a directory of the kernel with a directory in it for each disk.
type Mount struct {
	dir    string
	server *fuse.Server
	root   *rootNode
}

// NewMount mounts dir. It needs /dev/fuse and the right to mount.
func NewMount(dir string) (*Mount, error) {
	m := &Mount{dir: dir, root: &rootNode{disks: make(map[string]*attachedDisk)}}
	long := time.Hour // only the kernel changes these files
	server, err := fs.Mount(dir, m.root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "memfs", Name: "memfs", DisableXAttrs: true},
		EntryTimeout: &long, AttrTimeout: &long,
	})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	m.server = server
	return m, nil
}

// Close unmounts. No file may be open.
func (m *Mount) Close() error { return m.server.Unmount() }

// Attach shows a disk's file at the path it returns, until release is called. The content
// of the disk is in the kernel's cache then: a reader with a memory map never waits for
// this process.
func (m *Mount) Attach(disk *memfs.FS, file string) (path string, release func(), err error) {
	m.root.mu.Lock()
	m.root.names++
	name, a := fmt.Sprint(m.root.names), &attachedDisk{disk: disk}
	m.root.disks[name] = a
	m.root.mu.Unlock()
	dir := filepath.Join(m.dir, name)
	path = filepath.Join(dir, file)
	if _, err := os.ReadFile(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", nil, err
	}
	return path, func() {
		a.released.Store(true)
		// The kernel forgets its cache.
		os.Remove(path)
		os.Remove(path + ".holdfast-unfinished")
		os.Remove(dir)
	}, nil
}

// An attachedDisk is a disk as long as it is shown.
type attachedDisk struct {
	disk     *memfs.FS
	released atomic.Bool // a removal leaves the file on the disk from now on
}

// A rootNode is the mount's own directory.
type rootNode struct {
	fs.Inode

	mu    sync.Mutex
	disks map[string]*attachedDisk // guarded by mu
	names int                      // guarded by mu: given out
}

func (r *rootNode) Lookup(ctx context.Context, name string, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	r.mu.Lock()
	a := r.disks[name]
	r.mu.Unlock()
	if a == nil {
		return nil, syscall.ENOENT
	}
	return r.NewInode(ctx, &dirNode{attachedDisk: a}, fs.StableAttr{Mode: syscall.S_IFDIR}), 0
}

// Rmdir forgets a disk.
func (r *rootNode) Rmdir(_ context.Context, name string) syscall.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.disks, name)
	return 0
}

// A dirNode is a disk: its directory ".".
type dirNode struct {
	fs.Inode
	*attachedDisk
}

func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	f, err := d.disk.OpenFile(name, 0)
	if err != nil {
		return nil, errno(err)
	}
	return d.node(ctx, name, f, out), 0
}

func (d *dirNode) node(ctx context.Context, name string, f seglog.File, out *fuse.EntryOut) *fs.Inode {
	n := &fileNode{disk: d.disk, f: f}
	n.name.Store(&name)
	n.attr(&out.Attr)
	return d.NewInode(ctx, n, fs.StableAttr{Mode: syscall.S_IFREG})
}

func (d *dirNode) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	f, err := d.disk.OpenFile(name, os.O_CREATE)
	if err != nil {
		return nil, nil, 0, errno(err)
	}
	return d.node(ctx, name, f, out), nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Unlink removes a file from a disk.
func (d *dirNode) Unlink(_ context.Context, name string) syscall.Errno {
	if d.released.Load() {
		return 0
	}
	return errno(d.disk.Remove(name))
}

// Rename renames a file within a disk.
func (d *dirNode) Rename(_ context.Context, name string, _ fs.InodeEmbedder, to string, _ uint32) syscall.Errno {
	err := d.disk.Rename(name, to)
	if child := d.GetChild(name); child != nil && err == nil {
		if n, ok := child.Operations().(*fileNode); ok {
			n.name.Store(&to)
		}
	}
	return errno(err)
}

// Fsync is the sync of the directory.
func (d *dirNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(d.disk.SyncDir("."))
}

// A fileNode is a file.
type fileNode struct {
	fs.Inode
	disk *memfs.FS
	name atomic.Pointer[string]
	f    seglog.File
}

func (n *fileNode) attr(out *fuse.Attr) {
	size, err := n.f.Size()
	if err != nil {
		b, _ := n.disk.ReadFile(*n.name.Load())
		size = int64(len(b))
	}
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(size), 4096
}

func (n *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if err := n.f.Truncate(int64(size)); err != nil {
			return errno(err)
		}
	}
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read reads data that the kernel has not cached. It reads also from a disk that has
// died, since a memory map has no way to report a failed read.
func (n *fileNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	got, err := n.f.ReadAt(dest, off)
	if err == nil || errors.Is(err, io.EOF) {
		return fuse.ReadResultData(dest[:got]), 0
	}
	b, err := n.disk.ReadFile(*n.name.Load())
	if err != nil {
		return nil, errno(err)
	}
	return fuse.ReadResultData(b[min(off, int64(len(b))):min(off+int64(len(dest)), int64(len(b)))]), 0
}

func (n *fileNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	wrote, err := n.f.WriteAt(data, off)
	if wrote > 0 {
		return uint32(wrote), 0 // the rest fails when the kernel tries it again
	}
	return 0, errno(err)
}

func (n *fileNode) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (n *fileNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(n.f.Sync())
}

// errno returns the error number for the kernel.
func errno(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	}
	return syscall.EIO
}
