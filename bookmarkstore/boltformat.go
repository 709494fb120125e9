package bookmarkstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/format"
)

// What a Bolt keeps in its bucket:
//
//	format                                version (1 byte)
//	met                                   incarnation (8), cluster, of the group that it has met; may be missing
//	subscriptions/                        bucket
//	    <id>/                             bucket, named as the application chose
//	        head                          generation (8), flags (1), topic, filter
//	        <publisher>                   discarded (8)
//	        <publisher><sequence>         nothing: that message is discarded out of order
//
// Publisher and sequence are 8 bytes each, numbers are big endian, texts have
// their length (uvarint) in front. That of met and each value below a subscription begins with
// the version and ends in a CRC-32C over id, key and what stands before it:
// a value that was damaged, or stands under another key, does not decode.
// So damage can hide a discard (the message comes again) but not invent one.
const formatVersion = 1

const (
	flagBased = 1 << iota // SetBase was called
	flagsEnd
)

const checksumSize = 4

var (
	keyFormat        = []byte("format")
	keySubscriptions = []byte("subscriptions")
	keyHead          = []byte("head")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A DamagedError reports a value of a database that is not what was written
// there, or, without Bucket and Key, a file that is no database any more.
// Nothing is guessed from it: until somebody acts, the subscription
// cannot be opened, and where Bucket names none, the store can't.
//
// What to do: put back a copy of the file, which has messages since then come
// again. Without one, RepairBolt, or holdfast store repair, keeps all that can
// be read; where that is nothing, the subscription begins as a new one, where it
// is told to start. From Epoch, or a time at which it surely was complete, it
// loses nothing, and messages come again.
type DamagedError struct {
	Path   string // the database file
	Bucket string // bucket and, below it, subscription id
	Key    []byte
	Err    error
}

func (e *DamagedError) Error() string {
	if e.Bucket == "" {
		return fmt.Sprintf("bookmark store %s is damaged: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("bookmark store %s: bucket %q, key %q: %v", e.Path, e.Bucket, e.Key, e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

// A VersionError reports a store, or a subscription in one, that a later
// version of this package has written. Nothing of it was changed: open it with
// that version, or a later one.
type VersionError struct {
	Path   string // the database file
	Bucket string // bucket and, below it, subscription id; empty: the file
	Err    error
}

func (e *VersionError) Error() string {
	where := e.Path
	if e.Bucket != "" {
		where = fmt.Sprintf("%s, bucket %q", e.Path, e.Bucket)
	}
	return fmt.Sprintf("bookmark store %s was written by a newer version: %v; nothing was changed: open it with that version", where, e.Err)
}
func (e *VersionError) Unwrap() error { return e.Err }

// newerFormat is the error about a part of a store that is not of formatVersion.
func newerFormat(part string, found byte) error {
	if found < formatVersion {
		return fmt.Errorf("%s has format version %d, which there never was", part, found)
	}
	return &format.VersionError{File: part, Found: uint64(found), Known: formatVersion}
}

// isNewer reports whether an error is about a later version.
func isNewer(err error) bool {
	_, newer := errors.AsType[*format.VersionError](err)
	return newer
}

var (
	errLength   = errors.New("value has a wrong length")
	errChecksum = errors.New("checksum does not match")
	errKey      = errors.New("not a key of this store")
	errMissing  = errors.New("is missing")
)

// A head is what is kept of a subscription as a whole.
type head struct {
	generation uint64
	based      bool
	query      Query
}

func discardedKey(publisher uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), publisher)
}

func outOfOrderKey(b Bookmark) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 16), b.Publisher)
	return binary.BigEndian.AppendUint64(key, b.Sequence)
}

// checksum covers where a value stands, too.
func checksum(id string, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(id))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// seal ends a value that is to stand under key with its checksum.
func seal(id string, key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(id, key, value))
}

// unseal returns what stands between version and checksum of a value.
func unseal(id string, key, value []byte) ([]byte, error) {
	if len(value) < 1+checksumSize {
		return nil, errLength
	}
	body := value[:len(value)-checksumSize]
	if binary.BigEndian.Uint32(value[len(body):]) != checksum(id, key, body) {
		return nil, errChecksum
	}
	if body[0] != formatVersion {
		return nil, newerFormat("value", body[0])
	}
	return body[1:], nil
}

// unsealSized is unseal of a value with so many bytes in between.
func unsealSized(id string, key, value []byte, size int) ([]byte, error) {
	body, err := unseal(id, key, value)
	if err == nil && len(body) != size {
		err = errLength
	}
	return body, err
}

func encodeDiscarded(id string, key []byte, discarded uint64) []byte {
	value := append(make([]byte, 0, 1+8+checksumSize), formatVersion)
	return seal(id, key, binary.BigEndian.AppendUint64(value, discarded))
}

func decodeDiscarded(id string, key, value []byte) (uint64, error) {
	body, err := unsealSized(id, key, value, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(body), nil
}

func encodeOutOfOrder(id string, key []byte) []byte {
	return seal(id, key, append(make([]byte, 0, 1+checksumSize), formatVersion))
}

func encodeHead(id string, h head) []byte {
	value := binary.BigEndian.AppendUint64([]byte{formatVersion}, h.generation)
	var flags byte
	if h.based {
		flags |= flagBased
	}
	value = append(value, flags)
	for _, text := range []string{h.query.Topic, h.query.Filter} {
		value = binary.AppendUvarint(value, uint64(len(text)))
		value = append(value, text...)
	}
	return seal(id, keyHead, value)
}

func decodeHead(id string, value []byte) (head, error) {
	body, err := unseal(id, keyHead, value)
	if err != nil {
		return head{}, err
	}
	if len(body) < 9 {
		return head{}, errLength
	}
	h := head{generation: binary.BigEndian.Uint64(body), based: body[8]&flagBased != 0}
	if body[8] >= flagsEnd {
		return head{}, fmt.Errorf("unknown flags %#x", body[8])
	}
	rest := body[9:]
	for _, text := range []*string{&h.query.Topic, &h.query.Filter} {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return head{}, errLength
		}
		*text = string(rest[n : n+int(length)])
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		return head{}, errLength
	}
	return h, nil
}

// load reads what bucket keeps of a subscription into an empty window. An error is
// about the value under key.
func load(bucket *bbolt.Bucket, id string, w *window) (h head, key []byte, err error) {
	value := bucket.Get(keyHead)
	if value == nil {
		return head{}, keyHead, errMissing
	}
	if h, err = decodeHead(id, value); err != nil {
		return head{}, keyHead, err
	}
	w.based = h.based
	// In order of the keys a discarded point comes before the discards above it.
	err = bucket.ForEach(func(k, value []byte) error {
		key = k
		return loadValue(id, k, value, w.keep, func(b Bookmark) { w.keepOutOfOrder(b).kept = true })
	})
	return h, key, err
}

func loadValue(id string, key, value []byte, discarded, outOfOrder func(Bookmark)) error {
	switch len(key) {
	case len("head"):
		if string(key) != "head" {
			return errKey
		}
	case 8:
		sequence, err := decodeDiscarded(id, key, value)
		if err != nil {
			return err
		}
		discarded(Bookmark{Publisher: binary.BigEndian.Uint64(key), Sequence: sequence})
	case 16:
		if _, err := unsealSized(id, key, value, 0); err != nil {
			return err
		}
		outOfOrder(Bookmark{Publisher: binary.BigEndian.Uint64(key), Sequence: binary.BigEndian.Uint64(key[8:])})
	default:
		return errKey
	}
	return nil
}
