package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// What stands in a page of a bbolt database, in the machine's byte order: its
// id (8 bytes), flags (2), count of elements (2), how many pages follow (4),
// then the elements, which say where behind themselves their bytes are.
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16 // root page (0: the page stands behind it), sequence
	branchPage   = 0x01
	leafPage     = 0x02
	bucketFlag   = 0x01
)

// checkPages checks that the pages of a database are a tree in which every
// element lies within its page: bbolt trusts them, and might follow a ring for
// ever or read whatever stands elsewhere.
func checkPages(db *bbolt.DB) error {
	f, err := os.Open(db.Path())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p := pages{file: f, size: int64(db.Info().PageSize), end: info.Size(), seen: make(map[uint64]bool)}
	return db.View(func(tx *bbolt.Tx) error {
		return p.check(uint64(tx.Cursor().Bucket().Root()))
	})
}

// pages are those of a database.
type pages struct {
	file      *os.File
	size, end int64 // of a page, of the file
	seen      map[uint64]bool
}

// check checks a page and all that hang on it.
func (p *pages) check(id uint64) error {
	if p.seen[id] {
		return fmt.Errorf("page %d is referred to twice", id)
	}
	p.seen[id] = true
	b, err := p.read(id)
	if err == nil {
		err = p.elements(b, true)
	}
	if inner := (*pageError)(nil); err != nil && !errors.As(err, &inner) {
		err = &pageError{id, err}
	}
	return err
}

// A pageError names the page that is damaged.
type pageError struct {
	id  uint64
	err error
}

func (e *pageError) Error() string { return fmt.Sprintf("page %d: %v", e.id, e.err) }

var (
	errNoPage  = errors.New("it is not there")
	errOutside = errors.New("an element lies outside of it")
)

// read reads a page with those that follow it.
func (p *pages) read(id uint64) ([]byte, error) {
	if id >= uint64(p.end/p.size) {
		return nil, errNoPage
	}
	at := int64(id) * p.size
	var header [pageHeader]byte
	if _, err := p.file.ReadAt(header[:], at); err != nil {
		return nil, err
	}
	if got := binary.NativeEndian.Uint64(header[:]); got != id {
		return nil, fmt.Errorf("it says that it is page %d", got)
	}
	n := (1 + int64(binary.NativeEndian.Uint32(header[12:]))) * p.size
	if n > p.end-at {
		return nil, errNoPage
	}
	b := make([]byte, n)
	_, err := p.file.ReadAt(b, at)
	return b, err
}

// elements checks those of a page; one within a bucket's value has no buckets of its own.
func (p *pages) elements(b []byte, buckets bool) error {
	if len(b) < pageHeader {
		return errOutside
	}
	kind := binary.NativeEndian.Uint16(b[8:])
	if kind != leafPage && (kind != branchPage || !buckets) {
		return fmt.Errorf("its kind is %#x", kind)
	}
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if kind == branchPage && count == 0 || pageHeader+count*elementSize > len(b) {
		return fmt.Errorf("it can't have %d elements", count)
	}
	for i := range count {
		e := b[pageHeader+i*elementSize:]
		var err error
		if kind == branchPage {
			err = p.branch(e)
		} else {
			err = p.leaf(e, buckets)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// branch checks an element: position and length of its key, and a page.
func (p *pages) branch(e []byte) error {
	at, key := uint64(binary.NativeEndian.Uint32(e)), uint64(binary.NativeEndian.Uint32(e[4:]))
	if at+key > uint64(len(e)) {
		return errOutside
	}
	return p.check(binary.NativeEndian.Uint64(e[8:]))
}

// leaf checks an element: flags, position, lengths of key and value.
func (p *pages) leaf(e []byte, buckets bool) error {
	flags, at := binary.NativeEndian.Uint32(e), uint64(binary.NativeEndian.Uint32(e[4:]))
	key, value := uint64(binary.NativeEndian.Uint32(e[8:])), uint64(binary.NativeEndian.Uint32(e[12:]))
	if at+key+value > uint64(len(e)) {
		return errOutside
	}
	if flags&bucketFlag == 0 {
		return nil
	}
	bucket := e[at+key:][:value]
	switch {
	case !buckets || len(bucket) < bucketHeader:
		return errors.New("a bucket is malformed")
	case binary.NativeEndian.Uint64(bucket) == 0:
		return p.elements(bucket[bucketHeader:], false)
	}
	return p.check(binary.NativeEndian.Uint64(bucket))
}
