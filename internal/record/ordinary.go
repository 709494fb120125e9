package record

import (
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An Ordinary is the bytes of a message whose header has no fields: nearly all records.
// It is handled as it is, where a Record costs more than to copy the message.
type Ordinary []byte

// ordinaryStart is how an Ordinary begins: kind, no flags, length of the header.
const ordinaryStart = uint32(Message) | headerLen<<16

// AsOrdinary returns raw as an Ordinary. Ok is false if it is none. It does not look
// whether the content is sound.
func AsOrdinary(raw []byte) (o Ordinary, ok bool) {
	if len(raw) < Least || binary.LittleEndian.Uint32(raw) != ordinaryStart {
		return nil, false
	}
	o = raw
	if s := o.Sequence(); s == 0 || !bookmark.InRange(s) {
		return nil, false
	}
	if raw[headerLen] != 0 { // fields of the content, seldom
		r := Record{Kind: Message}
		return o, r.parseContent(raw[headerLen:])
	}
	return o, len(raw) >= Least+o.topicLen()
}

// Publisher returns the publisher.
func (o Ordinary) Publisher() uint64 { return binary.LittleEndian.Uint64(o[8:]) }

// Sequence returns the number that its publisher gave it.
func (o Ordinary) Sequence() uint64 { return binary.LittleEndian.Uint64(o[16:]) }

// Sum returns what the record says is the sum of its content.
func (o Ordinary) Sum() uint32 { return binary.LittleEndian.Uint32(o[4:]) }

// Topic returns the topic.
func (o Ordinary) Topic() []byte { return o[Least : Least+o.topicLen()] }

func (o Ordinary) topicLen() int { return int(binary.LittleEndian.Uint16(o[headerLen+1:])) }

// Delta reports whether it is a delta publish.
func (o Ordinary) Delta() bool { return o[headerLen]&isDelta != 0 }

// Sound reports whether the content has its sum.
func (o Ordinary) Sound() bool {
	return crc.Bytes(0, o[headerLen:]) == o.Sum() || mut.On(mut.R11AnySum)
}

// A Template makes the ordinary messages of one publisher on one topic that have nothing
// but a body.
type Template struct {
	raw []byte // of one without a body
	sum uint32
}

// NewTemplate returns the template, or ErrTooLarge.
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
