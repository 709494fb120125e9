package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A Loss is a part of a database that could not be read. All that hung on it
// is lost with it.
type Loss struct {
	Bucket [][]byte // names, from the outermost; empty: the buckets themselves
	Page   uint64
	Offset int64 // of the page in the file
	Err    error
}

// String names the place and the reason.
func (l Loss) String() string {
	if len(l.Bucket) == 0 {
		return fmt.Sprintf("%v, at byte %d", l.Err, l.Offset)
	}
	return fmt.Sprintf("%v, at byte %d: in bucket %s", l.Err, l.Offset, bucketName(l.Bucket))
}

// bucketName is a path of buckets as text.
func bucketName(path [][]byte) string {
	names := make([]string, len(path))
	for i, name := range path {
		names[i] = strings.Trim(fmt.Sprintf("%q", name), `"`)
	}
	return strings.Join(names, "/")
}

// Rescue copies all that can be read of a damaged database to an empty one,
// with the numbers that its buckets count (bbolt.Bucket.Sequence), and returns
// what can't be. Nothing in a page tells that its values are what was written:
// that is for their owners to see. The file is only read, and must not be in
// use. A *DamageError: there is no telling where anything is.
func Rescue(path string, to *bbolt.DB) ([]Loss, error) {
	lock, err := open(path, bbolt.Options{ReadOnly: true, Timeout: 1})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, err
	}
	if err == nil { // or it is not to be opened by anyone
		defer lock.Close()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r := rescue{walk: walk{r: f, pageSize: pageSizeOf(f)}, to: to, room: 2 * info.Size()}
	root, _, err := r.meta()
	if err != nil {
		return nil, &DamageError{path, err}
	}
	r.pages = min(r.pages, uint64(info.Size())/r.pageSize)
	r.seen = make([]uint64, r.pages/64+1)
	if err := r.begin(); err != nil {
		return nil, err
	}
	r.metas()
	r.page(root, nil)
	return r.losses, r.end()
}

// metas tells of a meta page that is not whole: it may have been the newer one,
// and then what is rescued is what there was one commit earlier.
func (r *rescue) metas() {
	for id := range uint64(firstPage) {
		var b [metaSize]byte
		err := r.read(b[:], id, pageHeader)
		if err == nil && !wholeMeta(&b) {
			err = badPage(id, "it is not whole, and the last commit may be missing")
		}
		if err != nil {
			r.lose(nil, id, err)
		}
	}
}

// pageSizeOf returns the size of pages that a whole meta page says.
func pageSizeOf(f *os.File) uint64 {
	for at := int64(0); at <= 64<<10; at = max(512, 2*at) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], at+pageHeader); err != nil {
			break
		}
		size := uint64(u32(b[8:]))
		if wholeMeta(&b) && (at == 0 || uint64(at) == size) && size >= 512 && size <= 16<<20 {
			return size
		}
	}
	return uint64(os.Getpagesize())
}

// rescueBatch is how many values are copied in one transaction.
const rescueBatch = 10_000

// A rescue copies page by page.
type rescue struct {
	walk
	to     *bbolt.DB
	tx     *bbolt.Tx
	puts   int
	room   int64 // bytes that may still be copied: elements may claim the same ones
	losses []Loss
	err    error // of the database that is written; it sticks
}

func (r *rescue) begin() (err error) {
	r.tx, err = r.to.Begin(true)
	return err
}

func (r *rescue) end() error {
	if r.err != nil {
		return errors.Join(r.err, r.tx.Rollback())
	}
	return r.tx.Commit()
}

func (r *rescue) lose(path [][]byte, page uint64, err error) {
	r.losses = append(r.losses, Loss{path, page, int64(page * r.pageSize), err})
}

// page copies what hangs on a page into the bucket at path.
func (r *rescue) page(id uint64, path [][]byte) {
	if r.err != nil {
		return
	}
	h, err := r.enter(id)
	b := make([]byte, h.span)
	if err == nil {
		err = r.read(b, id, 0)
	}
	if err == nil && h.flags != flagBranch && h.flags != flagLeaf {
		err = badPage(id, "flags %#x", h.flags)
	}
	if err != nil {
		r.lose(path, id, err)
		return
	}
	r.elements(h, b, path)
}

// elements copies those of a page, or of a leaf within a value.
func (r *rescue) elements(h header, b []byte, path [][]byte) {
	if most := (len(b) - pageHeader) / elementSize; h.count > most {
		r.lose(path, h.id, badPage(h.id, "%d elements in %d bytes", h.count, len(b)))
		h.count = most
	}
	for i := range h.count {
		e := b[pageHeader+elementSize*i:]
		if h.flags == flagBranch {
			r.page(u64(e[8:]), path)
			continue
		}
		from := uint64(u32(e[4:]))
		middle := from + uint64(u32(e[8:]))
		end := middle + uint64(u32(e[12:]))
		if r.room -= int64(end - from); end > uint64(len(e)) || r.room < 0 {
			r.lose(path, h.id, badPage(h.id, "a value ends behind it"))
			continue
		}
		key, value := bytes.Clone(e[from:middle]), bytes.Clone(e[middle:end])
		if u32(e)&flagBucket != 0 {
			r.bucket(h.id, append(path[:len(path):len(path)], key), value)
		} else {
			r.put(h.id, path, key, value)
		}
	}
}

// bucket copies a bucket: the value says where its root is, or holds it.
func (r *rescue) bucket(page uint64, path [][]byte, value []byte) {
	if len(value) < bucketSize {
		r.lose(path, page, badPage(page, "a bucket of %d bytes", len(value)))
		return
	}
	b := r.at(path)
	if b == nil {
		r.lose(path, page, badPage(page, "a bucket that can't be one"))
		return
	}
	if err := b.SetSequence(u64(value[8:])); err != nil {
		r.err = err
		return
	}
	if root := u64(value); root != 0 {
		r.page(root, path)
		return
	}
	inner := value[bucketSize:]
	if len(inner) < pageHeader || u16(inner[8:]) != flagLeaf {
		r.lose(path, page, badPage(page, "a bucket without a page"))
		return
	}
	r.elements(header{id: page, flags: flagLeaf, count: int(u16(inner[10:]))}, inner, path)
}

// put copies a value.
func (r *rescue) put(page uint64, path [][]byte, key, value []byte) {
	if r.err != nil {
		return
	}
	b := r.at(path)
	if b == nil {
		r.lose(path, page, badPage(page, "a value outside of every bucket"))
		return
	}
	if err := b.Put(key, value); err != nil {
		r.lose(path, page, badPage(page, "key %.40q: %v", key, err))
		return
	}
	if r.puts++; r.puts%rescueBatch == 0 {
		if r.err = r.tx.Commit(); r.err == nil {
			r.err = r.begin()
		}
	}
}

// at returns the bucket at a path, making it; nil if it can't be made.
func (r *rescue) at(path [][]byte) *bbolt.Bucket {
	if len(path) == 0 {
		return nil
	}
	b, err := r.tx.CreateBucketIfNotExists(path[0])
	for _, name := range path[1:] {
		if err == nil {
			b, err = b.CreateBucketIfNotExists(name)
		}
	}
	if err != nil {
		return nil
	}
	return b
}
