package boltfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
)

// The layout of the pages of a database, in the byte order of the machine:
//
//	page     id (8), flags (2), count (2), overflow (4), then elements
//	branch   pos (4), key size (4), page (8); pos is relative to the element
//	leaf     flags (4), pos (4), key size (4), value size (4)
//	bucket   value of a leaf element with a flag: root page (8), sequence
//	         (8); without a root page, a leaf page follows
//	freelist ids (8 each); if count has its maximum, the first entry is the count
//	meta     magic, version, page size, flags (4 each), root bucket (16),
//	         freelist, pages, transaction, checksum (8 each)
const (
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16
	metaSize    = 64

	flagBranch, flagLeaf, flagFreelist = 0x01, 0x02, 0x10
	flagBucket                         = 0x01
	countOverflow                      = 0xffff
	noFreelist                         = 1<<64 - 1
	firstPage                          = 2 // after the two meta pages
)

// These values begin each meta page of bbolt.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// errPage means that a page is invalid.
var errPage = errors.New("bad page")

func badPage(id uint64, format string, args ...any) error {
	return fmt.Errorf("%w %d: %s", errPage, id, fmt.Sprintf(format, args...))
}

// A walk visits every used page of a database once, so it cannot go in circles. It finds every
// error that would stop bbolt's own walk. bbolt uses that to find the free pages of a file without
// a list of them. It panics on an error, and leaves a goroutine that goes on reading the mapped
// file.
type walk struct {
	r         io.ReaderAt
	pageSize  uint64
	pages     uint64 // the used pages have lower ids
	seen      []uint64
	todo      []subtree
	live      uint64 // total bytes of the visited pages
	pageStart []byte // beginning of the current page
}

// A subtree is a branch or leaf with everything below it. Its keys are in order, at or above min
// and below max; nil means no bound.
type subtree struct {
	id       uint64
	min, max []byte
}

// checkPages checks a file of size bytes. It returns the number of bytes in pages with data.
func checkPages(r io.ReaderAt, size int64, pageSize int) (live int64, err error) {
	if pageSize < 512 || pageSize > 16<<20 {
		return 0, badPage(0, "pages of %d bytes", pageSize)
	}
	w := &walk{r: r, pageSize: uint64(pageSize)}
	err = w.checkAll(size)
	return int64(w.live), err
}

// checkAll visits every used page of a file of size bytes.
func (w *walk) checkAll(size int64) error {
	m, err := newestMeta(w.r, int64(w.pageSize))
	if err != nil {
		return err
	}
	if m.transaction > lastTransaction {
		return badPage(uint64(m.page), "its transaction has the id %d", m.transaction)
	}
	w.pages = m.pages
	if maxPages := uint64(size) / w.pageSize; w.pages > maxPages {
		return badPage(0, "%d pages are in use, but the file has only %d", w.pages, maxPages)
	}
	w.seen = make([]uint64, w.pages/64+1)
	if m.freelist != noFreelist {
		if err := w.freelist(m.freelist); err != nil {
			return err
		}
	}
	w.todo = append(w.todo, subtree{id: m.root})
	for len(w.todo) > 0 {
		t := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		if err := w.checkPage(t); err != nil {
			return err
		}
	}
	return nil
}

// lastTransaction is the highest transaction id of a sound database. bbolt counts in 64 bits without
// a check, and gives ids as int.
const lastTransaction = 1 << 62

// A meta is the content of a meta page.
type meta struct {
	page                               int64
	root, freelist, pages, transaction uint64
}

// newestMeta reads the newer valid meta page, as bbolt does.
func newestMeta(r io.ReaderAt, pageSize int64) (newest meta, err error) {
	found := false
	for page := range int64(firstPage) {
		var b [metaSize]byte
		if _, err := r.ReadAt(b[:], page*pageSize+pageHeader); err != nil {
			continue // bbolt has found the other one
		}
		known := u32(b[:]) == boltMagic && u32(b[4:]) == boltVersion && isValidMeta(&b)
		m := meta{page: page, root: u64(b[16:]), freelist: u64(b[32:]), pages: u64(b[40:]), transaction: u64(b[48:])}
		if known && (!found || m.transaction > newest.transaction) {
			newest, found = m, true
		}
	}
	if !found {
		return meta{}, badPage(0, "no meta page is valid")
	}
	return newest, nil
}

// isValidMeta reports whether the checksum of a meta page matches.
func isValidMeta(b *[metaSize]byte) bool {
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	return u64(b[metaSize-8:]) == sum.Sum64()
}

// A header is the header of a page. span is the size of the page in bytes with its overflow.
type header struct {
	id           uint64
	flags, count int
	span         uint64
}

// readHeader reads the header of a page and records the page as seen. A page that was seen before
// is an error.
func (w *walk) readHeader(id uint64) (header, error) {
	if id < firstPage || id >= w.pages {
		return header{}, badPage(id, "the database has %d pages", w.pages)
	}
	var b [pageHeader]byte
	if err := w.read(b[:], id, 0); err != nil {
		return header{}, err
	}
	h := header{id: u64(b[:]), flags: int(u16(b[8:])), count: int(u16(b[10:]))}
	last := id + uint64(u32(b[12:]))
	if h.id != id || last >= w.pages {
		return header{}, badPage(id, "its header is for pages %d to %d", h.id, last)
	}
	for p := id; p <= last; p++ {
		if err := w.setSeen(p); err != nil {
			return header{}, err
		}
	}
	h.span = (last - id + 1) * w.pageSize
	return h, nil
}

func (w *walk) setSeen(id uint64) error {
	if w.seen[id/64]&(1<<(id%64)) != 0 {
		return badPage(id, "is used twice")
	}
	w.seen[id/64] |= 1 << (id % 64)
	return nil
}

func (w *walk) read(b []byte, id, at uint64) error {
	if _, err := w.r.ReadAt(b, int64(id*w.pageSize+at)); err != nil {
		return fmt.Errorf("read page %d: %w", id, err)
	}
	return nil
}

// freelist checks the list of free pages and records them as seen.
func (w *walk) freelist(id uint64) error {
	h, err := w.readHeader(id)
	if err != nil {
		return err
	}
	count, at := uint64(h.count), uint64(pageHeader)
	if h.count == countOverflow {
		var b [8]byte
		if err := w.read(b[:], id, at); err != nil {
			return err
		}
		count, at = u64(b[:]), at+8
	}
	if h.flags != flagFreelist || count > (h.span-at)/8 {
		return badPage(id, "flags %#x, %d free pages in %d bytes", h.flags, count, h.span)
	}
	ids := bufio.NewReader(io.NewSectionReader(w.r, int64(id*w.pageSize+at), int64(8*count)))
	for range count {
		var b [8]byte
		if _, err := io.ReadFull(ids, b[:]); err != nil {
			return fmt.Errorf("read page %d: %w", id, err)
		}
		free := u64(b[:])
		if free < firstPage || free >= w.pages {
			return badPage(id, "page %d is free, but the database has %d pages", free, w.pages)
		}
		if err := w.setSeen(free); err != nil {
			return err
		}
	}
	return nil
}

// checkPage checks a branch or leaf page and queues the pages below it.
func (w *walk) checkPage(t subtree) error {
	id := t.id
	h, err := w.readHeader(id)
	if err != nil {
		return err
	}
	if h.flags != flagBranch && h.flags != flagLeaf || h.flags == flagBranch && h.count == 0 {
		return badPage(id, "flags %#x with %d elements", h.flags, h.count)
	}
	if pageHeader+elementSize*uint64(h.count) > h.span {
		return badPage(id, "%d elements in %d bytes", h.count, h.span)
	}
	w.live += h.span
	n := int(min(h.span, max(w.pageSize, pageHeader+elementSize*uint64(h.count))))
	w.pageStart = slices.Grow(w.pageStart[:0], n)[:n]
	if err := w.read(w.pageStart, id, 0); err != nil {
		return err
	}
	var last []byte
	for i := range h.count {
		key, err := w.checkElement(h, t, pageHeader+elementSize*uint64(i))
		if err != nil {
			return err
		}
		if i == 0 && bytes.Compare(key, t.min) < 0 || i > 0 && bytes.Compare(key, last) <= 0 || t.max != nil && bytes.Compare(key, t.max) >= 0 {
			return badPage(id, "key %d is out of order", i)
		}
		last = key
	}
	return nil
}

// checkElement checks the element at offset at of the current page, queues the pages below it, and
// returns its key.
func (w *walk) checkElement(h header, t subtree, at uint64) (key []byte, err error) {
	e := w.pageStart[at:]
	if h.flags == flagBranch {
		if key, err = w.key(h, at+uint64(u32(e)), uint64(u32(e[4:]))); err != nil {
			return nil, err
		}
		key = bytes.Clone(key)
		if at > pageHeader {
			w.todo[len(w.todo)-1].max = key // of the preceding subtree
		}
		w.todo = append(w.todo, subtree{id: u64(e[8:]), min: key, max: t.max})
		return key, nil
	}
	from, length, size := at+uint64(u32(e[4:])), uint64(u32(e[8:])), uint64(u32(e[12:]))
	if key, err = w.key(h, from, length); err != nil {
		return nil, err
	}
	switch {
	case from+length+size > h.span:
		return nil, badPage(h.id, "a value ends after the page")
	case u32(e)&flagBucket == 0:
		return key, nil
	case size < bucketSize || size > w.pageSize: // a larger bucket has pages of its own
		return nil, badPage(h.id, "a bucket of %d bytes", size)
	}
	b := make([]byte, size)
	if err := w.read(b, h.id, from+length); err != nil {
		return nil, err
	}
	if root := u64(b); root != 0 {
		w.todo = append(w.todo, subtree{id: root})
		return key, nil
	}
	return key, checkInline(h.id, b[bucketSize:])
}

// key returns the key at offset at of the current page.
func (w *walk) key(h header, at, length uint64) (key []byte, err error) {
	switch end := at + length; {
	case end > h.span:
		return nil, badPage(h.id, "a key ends after the page")
	case length > bbolt.MaxKeySize:
		return nil, badPage(h.id, "a key of %d bytes", length)
	case end <= uint64(len(w.pageStart)):
		return w.pageStart[at:end], nil
	}
	key = make([]byte, length)
	return key, w.read(key, h.id, at)
}

// checkInline checks a leaf page inside the value of a bucket.
func checkInline(id uint64, b []byte) error {
	if len(b) < pageHeader {
		return badPage(id, "a bucket without a page")
	}
	count := int(u16(b[10:]))
	if flags := u16(b[8:]); flags != flagLeaf || pageHeader+elementSize*count > len(b) {
		return badPage(id, "a bucket with flags %#x and %d elements in %d bytes", flags, count, len(b))
	}
	for i := range count {
		at := pageHeader + elementSize*i
		e := b[at:]
		end := uint64(at) + uint64(u32(e[4:])) + uint64(u32(e[8:])) + uint64(u32(e[12:]))
		if u32(e)&flagBucket != 0 || end > uint64(len(b)) {
			return badPage(id, "a value in a bucket ends after the bucket, or is a bucket")
		}
	}
	return nil
}

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// newerVersion returns a *fileversion.VersionError if a file has a valid meta page with a later
// version of bbolt.
func newerVersion(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // the caller keeps its own error
	}
	defer f.Close()
	pageSize := int64(pageSizeOf(f))
	for id := range int64(firstPage) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], id*pageSize+pageHeader); err != nil {
			return nil
		}
		if version := u32(b[4:]); isValidMeta(&b) && u32(b[:]) == boltMagic && version > boltVersion {
			return &fileversion.VersionError{File: "database " + path, Found: uint64(version), Known: boltVersion}
		}
	}
	return nil
}
