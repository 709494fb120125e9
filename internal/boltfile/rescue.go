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

// A Loss is an unreadable part of a database. Everything below it is lost too.
type Loss struct {
	Bucket [][]byte // names, outermost first; empty: the root, which has the buckets
	Page   uint64
	Offset int64 // of the page in the file, in bytes
	Err    error
}

// String returns the reason and the location.
func (l Loss) String() string {
	if len(l.Bucket) == 0 {
		return fmt.Sprintf("%v, at byte %d", l.Err, l.Offset)
	}
	return fmt.Sprintf("%v, at byte %d: in bucket %s", l.Err, l.Offset, bucketName(l.Bucket))
}

// bucketName returns a path of buckets as text.
func bucketName(path [][]byte) string {
	names := make([]string, len(path))
	for i, name := range path {
		names[i] = strings.Trim(fmt.Sprintf("%q", name), `"`)
	}
	return strings.Join(names, "/")
}

// Rescue copies everything readable from a damaged database to the empty database to, including the
// sequence of each bucket (bbolt.Bucket.Sequence). It returns the unreadable parts. Pages have no
// checksum, so the owner of the data must check the copied values. Rescue only reads the file,
// which must not be in use. The error is a *DamageError if no meta page is valid.
func Rescue(path string, to *bbolt.DB) ([]Loss, error) {
	lock, err := open(path, bbolt.Options{ReadOnly: true, Timeout: 1})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, err
	}
	if err == nil { // otherwise the file cannot be opened, and no process can hold its lock
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
	r := rescue{walk: walk{r: f, pageSize: pageSizeOf(f)}, to: to, budget: 2 * info.Size()}
	m, err := newestMeta(f, int64(r.pageSize))
	if err != nil {
		return nil, &DamageError{path, err}
	}
	r.pages = min(m.pages, uint64(info.Size())/r.pageSize)
	r.seen = make([]uint64, r.pages/64+1)
	if err := r.beginTx(); err != nil {
		return nil, err
	}
	r.checkMetas()
	r.copyPage(m.root, nil)
	return r.losses, r.endTx()
}

// checkMetas reports each damaged meta page as a loss: if it was the newer one, the rescued data
// lacks the last commit.
func (r *rescue) checkMetas() {
	for id := range uint64(firstPage) {
		var b [metaSize]byte
		err := r.read(b[:], id, pageHeader)
		if err == nil && !isValidMeta(&b) {
			err = badPage(id, "the checksum of the meta page does not match: the last commit may be missing")
		}
		if err != nil {
			r.addLoss(nil, id, err)
		}
	}
}

// pageSizeOf returns the page size from a valid meta page, or the system's page size.
func pageSizeOf(f *os.File) uint64 {
	for at := int64(0); at <= 64<<10; at = max(512, 2*at) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], at+pageHeader); err != nil {
			break
		}
		size := uint64(u32(b[8:]))
		if isValidMeta(&b) && (at == 0 || uint64(at) == size) && size >= 512 && size <= 16<<20 {
			return size
		}
	}
	return uint64(os.Getpagesize())
}

// rescueBatch is the number of values copied in one transaction.
const rescueBatch = 10_000

// A rescue copies a database page by page.
type rescue struct {
	walk
	to     *bbolt.DB
	tx     *bbolt.Tx
	puts   int
	budget int64 // bytes that may still be copied; a limit, since damaged elements may overlap
	losses []Loss
	err    error // of the target database; the first one stays
}

func (r *rescue) beginTx() (err error) {
	r.tx, err = r.to.Begin(true)
	return err
}

func (r *rescue) endTx() error {
	if r.err != nil {
		return errors.Join(r.err, r.tx.Rollback())
	}
	return r.tx.Commit()
}

func (r *rescue) addLoss(path [][]byte, page uint64, err error) {
	r.losses = append(r.losses, Loss{path, page, int64(page * r.pageSize), err})
}

// copyPage copies everything below a page into the bucket at path.
func (r *rescue) copyPage(id uint64, path [][]byte) {
	if r.err != nil {
		return
	}
	h, err := r.readHeader(id)
	b := make([]byte, h.span)
	if err == nil {
		err = r.read(b, id, 0)
	}
	if err == nil && h.flags != flagBranch && h.flags != flagLeaf {
		err = badPage(id, "flags %#x", h.flags)
	}
	if err != nil {
		r.addLoss(path, id, err)
		return
	}
	r.copyElements(h, b, path)
}

// copyElements copies the elements of a page, or of a leaf page inside a value.
func (r *rescue) copyElements(h header, b []byte, path [][]byte) {
	if limit := (len(b) - pageHeader) / elementSize; h.count > limit {
		r.addLoss(path, h.id, badPage(h.id, "%d elements in %d bytes", h.count, len(b)))
		h.count = limit
	}
	for i := range h.count {
		e := b[pageHeader+elementSize*i:]
		if h.flags == flagBranch {
			r.copyPage(u64(e[8:]), path)
			continue
		}
		from := uint64(u32(e[4:]))
		valueStart := from + uint64(u32(e[8:]))
		end := valueStart + uint64(u32(e[12:]))
		if r.budget -= int64(end - from); end > uint64(len(e)) || r.budget < 0 {
			r.addLoss(path, h.id, badPage(h.id, "a value ends after the page"))
			continue
		}
		key, value := bytes.Clone(e[from:valueStart]), bytes.Clone(e[valueStart:end])
		if u32(e)&flagBucket != 0 {
			r.copyBucket(h.id, append(path[:len(path):len(path)], key), value)
		} else {
			r.copyValue(h.id, path, key, value)
		}
	}
}

// copyBucket copies a bucket. Its value has the id of its root page, or an inline leaf page.
func (r *rescue) copyBucket(page uint64, path [][]byte, value []byte) {
	if len(value) < bucketSize {
		r.addLoss(path, page, badPage(page, "a bucket of %d bytes", len(value)))
		return
	}
	b := r.bucketAt(path)
	if b == nil {
		r.addLoss(path, page, badPage(page, "its bucket cannot be created"))
		return
	}
	if err := b.SetSequence(u64(value[8:])); err != nil {
		r.err = err
		return
	}
	if root := u64(value); root != 0 {
		r.copyPage(root, path)
		return
	}
	inner := value[bucketSize:]
	if len(inner) < pageHeader || u16(inner[8:]) != flagLeaf {
		r.addLoss(path, page, badPage(page, "a bucket without a page"))
		return
	}
	r.copyElements(header{id: page, flags: flagLeaf, count: int(u16(inner[10:]))}, inner, path)
}

// copyValue copies one value.
func (r *rescue) copyValue(page uint64, path [][]byte, key, value []byte) {
	if r.err != nil {
		return
	}
	b := r.bucketAt(path)
	if b == nil {
		r.addLoss(path, page, badPage(page, "a value is outside of all buckets"))
		return
	}
	if err := b.Put(key, value); err != nil {
		r.addLoss(path, page, badPage(page, "key %.40q: %v", key, err))
		return
	}
	if r.puts++; r.puts%rescueBatch == 0 {
		if r.err = r.tx.Commit(); r.err == nil {
			r.err = r.beginTx()
		}
	}
}

// bucketAt returns the bucket at a path and creates it if needed. It returns nil if that fails.
func (r *rescue) bucketAt(path [][]byte) *bbolt.Bucket {
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
