package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Lengths of the parts that are always present, and of a check.
const (
	minHeaderLen  = 24
	minContentLen = 3
	checkLen      = len(bookmark.Check{})
)

// MinLen is the length of the shortest record that has a content.
const MinLen = minHeaderLen + minContentLen

// MaxUser is the maximum length of a record's User in bytes. It is the limit of names in a logon.
const MaxUser = 1024

// Flags of the header.
const (
	hasPrev = 1 << iota
	hasCheck
	hasCRC
	hasCause
	hasReason
	hasUser
)

// Flags of the content.
const (
	isDelta = 1 << iota
	hasCorrelation
	hasKey
	hasExpiration
	hasHeaders
)

var (
	// ErrTooLarge reports a record with a field that is too long for its length prefix.
	ErrTooLarge = errors.New("record too large")
	// ErrMalformed reports bytes that are not a record, or a Record that cannot be encoded.
	ErrMalformed = errors.New("not a record")
)

// hasContent reports whether records of the kind have a content.
func (k Kind) hasContent() bool { return k != Gone && k != Elsewhere }

// Append appends the bytes of r to dst, and sets Sum and Raw.
func Append(dst []byte, r *Record) ([]byte, error) {
	start := len(dst)
	longer, err := AppendHead(dst, r)
	if err != nil {
		return dst, err
	}
	longer = append(longer, r.Body...)
	r.Raw = longer[start:]
	return longer, nil
}

// AppendHead is Append without the body, which the caller must append. It sets Sum if that
// is 0.
func AppendHead(dst []byte, r *Record) ([]byte, error) {
	head, _, err := r.size()
	if err == nil {
		err = Validate(r)
	}
	if err != nil {
		return dst, fmt.Errorf("%v %d|%d: %w", r.Kind, r.Publisher, r.Sequence, err)
	}
	start := len(dst)
	dst = append(dst, byte(r.Kind), 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(head))
	dst = binary.LittleEndian.AppendUint32(dst, r.Sum)
	dst = binary.LittleEndian.AppendUint64(dst, r.Publisher)
	dst = binary.LittleEndian.AppendUint64(dst, r.Sequence)
	dst, flags := r.appendFields(dst)
	dst[start+1] = flags
	if !r.Kind.hasContent() {
		return dst, nil
	}
	dst = r.appendContent(dst)
	if r.Sum == 0 {
		r.Sum = crc.Bytes(crc.Bytes(0, dst[start+head:]), r.Body)
		if failpoint.On(failpoint.R11HeadersNotInSum) {
			r.Sum = 0
			r.SetSum()
		}
		binary.LittleEndian.PutUint32(dst[start+4:], r.Sum)
	}
	return dst, nil
}

// SetSum sets Sum, if it is 0, to the sum of the content.
func (r *Record) SetSum() {
	if r.Sum != 0 || !r.Kind.hasContent() {
		return
	}
	sum := sumText(crc.Number8(0, r.contentFlags()), r.Topic)
	for _, f := range [...][]byte{r.CorrelationID, r.SOWKey} {
		if len(f) > 0 {
			sum = sumText(sum, f)
		}
	}
	if r.Expiration != 0 {
		sum = crc.Number32(sum, r.Expiration)
	}
	if len(r.Headers) > 0 && !failpoint.On(failpoint.R11HeadersNotInSum) {
		sum = sumText(sum, r.Headers)
	}
	r.Sum = crc.Bytes(sum, r.Body)
}

// sumText continues sum with the length of a text and the text.
func sumText(sum uint32, text []byte) uint32 {
	sum = crc.Number8(crc.Number8(sum, uint8(len(text))), uint8(len(text)>>8))
	return crc.Bytes(sum, text)
}

// Size returns the length of the bytes of r, or ErrTooLarge.
func Size(r *Record) (int, error) {
	_, total, err := r.size()
	return total, err
}

// size returns the length of the header and that of the whole record.
func (r *Record) size() (head, total int, err error) {
	for _, f := range [...][]byte{r.Topic, r.CorrelationID, r.SOWKey, r.Headers} {
		if len(f) > math.MaxUint16 {
			return 0, 0, ErrTooLarge
		}
	}
	head = minHeaderLen + textsLen(r.Reason, r.User)
	if r.Prev != r.Sequence-1 {
		head += 8
	}
	if r.Check != (bookmark.Check{}) {
		head += checkLen
	}
	if r.RunningCRC != 0 {
		head += 4
	}
	if r.Cause != Removed {
		head++
	}
	if head > math.MaxUint16 || uint64(len(r.Body)) > math.MaxUint32 {
		return 0, 0, ErrTooLarge
	}
	if !r.Kind.hasContent() {
		return head, head, nil
	}
	total = head + minContentLen + len(r.Topic) + textsLen(r.CorrelationID, r.SOWKey, r.Headers) + len(r.Body)
	if r.Expiration != 0 {
		total += 4
	}
	return head, total, nil
}

// textsLen returns the number of bytes that appendTexts appends.
func textsLen(texts ...[]byte) (n int) {
	for _, t := range texts {
		if len(t) > 0 {
			n += 2 + len(t)
		}
	}
	return n
}

// Validate returns an error if the numbers of r are out of range, or if r has a field of
// another kind.
func Validate(r *Record) error {
	gone := r.Kind == Gone
	switch {
	case !r.Kind.Known():
		return fmt.Errorf("%w: unknown %v", ErrMalformed, r.Kind)
	case r.Sequence == 0 || !bookmark.InRange(r.Sequence):
		return fmt.Errorf("%w: sequence %d is not between 1 and 2^63-1", ErrMalformed, r.Sequence)
	case r.Prev >= r.Sequence || r.Kind.OneNumber() && r.Prev != r.Sequence-1:
		return fmt.Errorf("%w: %v %d after predecessor %d", ErrMalformed, r.Kind, r.Sequence, r.Prev)
	case !gone && (r.Cause != Removed || r.RunningCRC != 0), r.Cause > Closed,
		!gone && r.Kind != Tombstone && len(r.Reason) > 0,
		!r.Kind.hasContent() && len(r.Topic)+len(r.Body)+len(r.Headers) > 0:
		return fmt.Errorf("%w: %v with a field of another kind", ErrMalformed, r.Kind)
	case len(r.User) > MaxUser:
		return fmt.Errorf("%w: a user of %d bytes, at most %d are allowed", ErrMalformed, len(r.User), MaxUser)
	}
	if err := CheckHeaders(r.Headers); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// appendFields appends the fields of the header, and returns the flags that announce them.
func (r *Record) appendFields(dst []byte) (longer []byte, flags byte) {
	if r.Prev != r.Sequence-1 {
		dst, flags = binary.LittleEndian.AppendUint64(dst, r.Prev), flags|hasPrev
	}
	if r.Check != (bookmark.Check{}) {
		dst, flags = append(dst, r.Check[:]...), flags|hasCheck
	}
	if r.RunningCRC != 0 {
		dst, flags = binary.LittleEndian.AppendUint32(dst, r.RunningCRC), flags|hasCRC
	}
	if r.Cause != Removed {
		dst, flags = append(dst, byte(r.Cause)), flags|hasCause
	}
	if len(r.Reason) > 0 {
		flags |= hasReason
	}
	if len(r.User) > 0 {
		flags |= hasUser
	}
	return appendTexts(dst, r.Reason, r.User), flags
}

// appendTexts appends the texts that are not empty, each after its length.
func appendTexts(dst []byte, texts ...[]byte) []byte {
	for _, t := range texts {
		if len(t) > 0 {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(len(t)))
			dst = append(dst, t...)
		}
	}
	return dst
}

// appendContent appends the content without the body.
func (r *Record) appendContent(dst []byte) []byte {
	dst = append(dst, r.contentFlags())
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Topic)))
	dst = append(dst, r.Topic...)
	dst = appendTexts(dst, r.CorrelationID, r.SOWKey)
	if r.Expiration != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.Expiration)
	}
	return appendTexts(dst, r.Headers)
}

func (r *Record) contentFlags() (flags byte) {
	if r.Delta {
		flags |= isDelta
	}
	if len(r.CorrelationID) > 0 {
		flags |= hasCorrelation
	}
	if len(r.SOWKey) > 0 {
		flags |= hasKey
	}
	if r.Expiration != 0 {
		flags |= hasExpiration
	}
	if len(r.Headers) > 0 {
		flags |= hasHeaders
	}
	return flags
}

// InsertCheck appends the bytes of r with the check of its publisher inserted. r must have
// been read without a check. The result is for a receiver that does not know the publisher.
// InsertCheck sets Check and Raw.
func InsertCheck(dst []byte, r *Record, check bookmark.Check) []byte {
	start, at := len(dst), checkAt(r.Raw)
	dst = append(dst, r.Raw[:at]...)
	dst = append(dst, check[:]...)
	dst = append(dst, r.Raw[at:]...)
	r.Check, r.Raw = check, dst[start:]
	r.Raw[1] |= hasCheck
	binary.LittleEndian.PutUint16(r.Raw[2:], binary.LittleEndian.Uint16(r.Raw[2:])+uint16(checkLen))
	return dst
}

// checkAt returns the offset of the check in the bytes of a record, or where it would be
// inserted.
func checkAt(raw []byte) int {
	if raw[1]&hasPrev != 0 {
		return minHeaderLen + 8
	}
	return minHeaderLen
}

// HasCheck reports whether the bytes of a record contain the check of its publisher.
func HasCheck(raw []byte) bool { return raw[1]&hasCheck != 0 }

// SumWithoutCheck returns the CRC-32C of raw without the check. Two logs may keep the check
// of a publisher with different records.
func SumWithoutCheck(raw []byte) uint32 {
	if !HasCheck(raw) {
		return crc.Bytes(0, raw)
	}
	at := checkAt(raw)
	length := binary.LittleEndian.Uint16(raw[2:]) - uint16(checkLen)
	sum := crc.Number8(crc.Number8(0, raw[0]), raw[1]&^hasCheck)
	sum = crc.Number8(crc.Number8(sum, uint8(length)), uint8(length>>8))
	return crc.Bytes(crc.Bytes(sum, raw[4:at]), raw[at+checkLen:])
}
