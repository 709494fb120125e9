package record

import (
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// An OrdinaryMessage has the bytes of a message whose header has no field, or only a user. Nearly
// all records are ordinary messages. Their bytes are used directly, because parsing them into a
// Record costs more than copying the message.
type OrdinaryMessage []byte

// ordinaryStart is the start of an OrdinaryMessage without a user: kind, no flags, length of the
// header.
const ordinaryStart = uint32(Message) | minHeaderLen<<16

// AsOrdinary returns raw as an OrdinaryMessage. ok is false if raw is not one. AsOrdinary
// does not check the sum of the content, see SumMatches.
func AsOrdinary(raw []byte) (o OrdinaryMessage, ok bool) {
	if len(raw) < MinLen {
		return nil, false
	}
	content := raw[minHeaderLen:]
	if binary.LittleEndian.Uint32(raw) != ordinaryStart {
		if !hasOnlyUser(raw) {
			return nil, false
		}
		content = raw[HeaderLen(raw):]
	}
	o = raw
	if s := o.Sequence(); s == 0 || !bookmark.InRange(s) || len(content) < minContentLen {
		return nil, false
	}
	if content[0] != 0 { // the content has fields: rare
		r := Record{Kind: Message}
		return o, r.parseContent(content)
	}
	return o, len(content) >= minContentLen+int(binary.LittleEndian.Uint16(content[1:]))
}

// hasOnlyUser reports whether raw is a message whose header has a user and no other field.
func hasOnlyUser(raw []byte) bool {
	if Kind(raw[0]) != Message || raw[1] != hasUser {
		return false
	}
	n := int(binary.LittleEndian.Uint16(raw[minHeaderLen:]))
	return n > 0 && n <= MaxUser && HeaderLen(raw) == minHeaderLen+userLen+n && len(raw) >= HeaderLen(raw)
}

// userLen is the length of the length of a user.
const userLen = 2

// Publisher returns the publisher.
func (o OrdinaryMessage) Publisher() uint64 { return binary.LittleEndian.Uint64(o[8:]) }

// Sequence returns the sequence.
func (o OrdinaryMessage) Sequence() uint64 { return binary.LittleEndian.Uint64(o[16:]) }

// Sum returns the sum that the record claims for its content.
func (o OrdinaryMessage) Sum() uint32 { return binary.LittleEndian.Uint32(o[4:]) }

// Topic returns the topic.
func (o OrdinaryMessage) Topic() []byte {
	return o.Content()[minContentLen : minContentLen+o.topicLen()]
}

func (o OrdinaryMessage) topicLen() int { return int(binary.LittleEndian.Uint16(o[HeaderLen(o)+1:])) }

// Content returns the bytes that Sum is the sum of.
func (o OrdinaryMessage) Content() []byte { return o[HeaderLen(o):] }

// User returns the user, empty if there is none.
func (o OrdinaryMessage) User() []byte {
	if o[1] == 0 {
		return nil
	}
	return o[minHeaderLen+userLen : HeaderLen(o)]
}

// AppendHeader appends the header of the message to dst, with a user that the message does not
// have. The content follows it.
func (o OrdinaryMessage) AppendHeader(dst, user []byte) []byte {
	start := len(dst)
	dst = append(dst, o[:minHeaderLen]...)
	dst[start+1] |= hasUser
	binary.LittleEndian.PutUint16(dst[start+2:], uint16(minHeaderLen+userLen+len(user)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(user)))
	return append(dst, user...)
}

// Delta reports whether the message is a delta publish.
func (o OrdinaryMessage) Delta() bool { return o[HeaderLen(o)]&isDelta != 0 }

// SumMatches reports whether the content matches its sum.
func (o OrdinaryMessage) SumMatches() bool {
	return contentSum(o.Content()) == o.Sum() || failpoint.On(failpoint.R11AnySum)
}

// A Template encodes ordinary messages of one publisher on one topic, with a body and no
// other field.
type Template struct {
	raw []byte // a message without a body
	sum uint32
}

// NewTemplate returns the template, or ErrTooLarge if the topic is too long.
func NewTemplate(publisher uint64, topic string) (Template, error) {
	r := Record{Kind: Message, Publisher: publisher, Sequence: 1, Topic: []byte(topic)}
	raw, err := Append(nil, &r)
	return Template{raw, r.Sum}, err
}

// AppendHead appends a message without its body, which must follow, and returns the sum of
// its content.
func (t *Template) AppendHead(dst []byte, sequence uint64, body []byte) (longer []byte, sum uint32) {
	start := len(dst)
	dst = append(dst, t.raw...)
	sum = crc.Bytes(t.sum, body)
	binary.LittleEndian.PutUint32(dst[start+4:], sum)
	binary.LittleEndian.PutUint64(dst[start+16:], sequence)
	return dst, sum
}
