package bookmarkstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
)

// A Bolt keeps these keys in its bucket:
//
//	format                                version (1 byte)
//	met                                   group of servers: incarnation (8), cluster id; may be missing
//	subscriptions/                        bucket
//	    <id>/                             bucket, named by the application
//	        head                          generation (8), flags (1), topic, filter
//	        <publisher>                   discarded (8)
//	        <publisher><sequence>         empty: this message is discarded out of order
//
// Publisher and sequence are 8 bytes each. Numbers are big endian. A text follows its length
// (uvarint). The value of met and each value below a subscription begin with the version and end
// with a CRC-32C over id, key and the rest of the value. So a damaged value, or a value under a
// wrong key, does not decode. Damage can therefore hide a discard (the message is delivered again)
// but not invent one.
const formatVersion = 1

const (
	flagHasBase = 1 << iota // SetBase was called
	flagsEnd
)

const checksumSize = 4

var (
	keyFormat        = []byte("format")
	keySubscriptions = []byte("subscriptions")
	keyHead          = []byte("head")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A DamagedError means that the disk has changed or lost a value of the database. If Bucket and Key
// are empty, the file is no longer a bbolt database. The store does not guess: the subscription
// cannot be opened until the damage is repaired. If Bucket names no subscription, the whole store
// cannot be opened.
//
// To repair it, restore a copy of the file; messages discarded since the copy was made are
// delivered again. Without a copy, RepairBolt or "holdfast store repair" keeps everything that is
// readable. A subscription without any readable value starts as a new one, at its configured start.
// If that is Epoch, or a time before its first undiscarded message, it misses nothing, and messages
// are delivered again.
type DamagedError struct {
	Path   string // the database file
	Bucket string // name of the bucket, or bucket/subscription id
	Key    []byte
	Err    error
}

func (e *DamagedError) Error() string {
	if e.Bucket == "" {
		return fmt.Sprintf("bookmark store %s is damaged: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("bookmark store %s is damaged: bucket %q, key %q: %v", e.Path, e.Bucket, e.Key, e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

// A VersionError means that a later version of this package has written the store, or a
// subscription in it. The store was not changed. Open it with that version or a later one.
type VersionError struct {
	Path   string // the database file
	Bucket string // name of the bucket, or bucket/subscription id; empty: the whole file
	Err    error
}

func (e *VersionError) Error() string {
	location := e.Path
	if e.Bucket != "" {
		location = fmt.Sprintf("%s, bucket %q", e.Path, e.Bucket)
	}
	return fmt.Sprintf("bookmark store %s was written by a newer version: %v; the store is unchanged: open it with that version", location, e.Err)
}
func (e *VersionError) Unwrap() error { return e.Err }

// versionError returns the error for a part of a store whose version is not formatVersion.
func versionError(part string, found byte) error {
	if found < formatVersion {
		return fmt.Errorf("%s has unknown format version %d", part, found)
	}
	return &fileversion.VersionError{File: part, Found: uint64(found), Known: formatVersion}
}

// isVersionError reports whether an error is about a later version of the format.
func isVersionError(err error) bool {
	_, newer := errors.AsType[*fileversion.VersionError](err)
	return newer
}

var (
	errLength   = errors.New("value has a wrong length")
	errChecksum = errors.New("checksum does not match")
	errKey      = errors.New("not a key of this store")
	errMissing  = errors.New("value is missing")
)

// A head is the stored state of a subscription as a whole.
type head struct {
	generation uint64
	hasBase    bool
	query      Query
}

func discardedKey(publisher uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), publisher)
}

func outOfOrderKey(b Bookmark) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 16), b.Publisher)
	return binary.BigEndian.AppendUint64(key, b.Sequence)
}

// checksum covers id and key, too: a value under another key does not decode.
func checksum(id string, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(id))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// seal appends the checksum to a value for key.
func seal(id string, key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(id, key, value))
}

// unseal returns the part of a value between version and checksum.
func unseal(id string, key, value []byte) ([]byte, error) {
	if len(value) < 1+checksumSize {
		return nil, errLength
	}
	body := value[:len(value)-checksumSize]
	if binary.BigEndian.Uint32(value[len(body):]) != checksum(id, key, body) {
		return nil, errChecksum
	}
	if body[0] != formatVersion {
		return nil, versionError("value", body[0])
	}
	return body[1:], nil
}

// unsealSized is unseal for a value with size bytes between version and checksum.
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
	if h.hasBase {
		flags |= flagHasBase
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
	h := head{generation: binary.BigEndian.Uint64(body), hasBase: body[8]&flagHasBase != 0}
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

// loadWindow reads the stored subscription in bucket into an empty window. An error is about the
// value under key.
func loadWindow(bucket *bbolt.Bucket, id string, w *window) (h head, key []byte, err error) {
	value := bucket.Get(keyHead)
	if value == nil {
		return head{}, keyHead, errMissing
	}
	if h, err = decodeHead(id, value); err != nil {
		return head{}, keyHead, err
	}
	w.hasBase = h.hasBase
	// In key order, a discarded point is before the out-of-order discards of its publisher.
	err = bucket.ForEach(func(k, value []byte) error {
		key = k
		return loadValue(id, k, value, w.restore, func(b Bookmark) { w.addOutOfOrder(b).storedOutOfOrder = true })
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
