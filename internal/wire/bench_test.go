package wire_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// These benchmarks measure the codec, the first half of B8.

const smallBody = `{"id":1,"px":11}`

// BenchmarkParse parses frames as they come over a connection.
func BenchmarkParse(b *testing.B) {
	vector := func(id string) []byte { return vectorNamed(b, id).frame(b)[4:] }
	for _, f := range []struct {
		name  string
		frame []byte
	}{
		{"delivery", []byte(`{"c":"p","t":"important_topic","bm":"7094790850998930143|43|","ts":"20260102T030405.678901Z","sids":"2"}` + smallBody)},
		{"delivery_with_all", vector("V20")},
		{"publish", []byte(`{"c":"p","t":"important_topic","a":"persisted","s":1234567}` + smallBody)},
		{"ack", vector("V14")},
	} {
		b.Run(f.name, func(b *testing.B) {
			var m wire.Message
			b.SetBytes(int64(len(f.frame)))
			b.ReportAllocs()
			for b.Loop() {
				if err := wire.Parse(f.frame, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWrite writes the same frames.
func BenchmarkWrite(b *testing.B) {
	mark := bookmark.Bookmark{Publisher: 7094790850998930143, Sequence: 43}
	for _, f := range []struct {
		name  string
		write func([]byte) []byte
	}{
		{"delivery", (&wire.Delivery{
			Topic: []byte("important_topic"), Bookmark: mark, Timestamp: 1767323045678901, SubIDs: []byte("2"), Body: []byte(smallBody),
		}).AppendTo},
		{"delivery_with_all", written["V20"].AppendTo},
		{"publish", (&wire.PublishCommand{
			Topic: "important_topic", Acks: wire.AckPersisted, Sequence: 1234567, Body: []byte(smallBody),
		}).AppendTo},
		{"ack", (&wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: 43, HasSequence: true, MessageBookmark: mark}).AppendTo},
	} {
		b.Run(f.name, func(b *testing.B) {
			dst := f.write(make([]byte, 0, 1024))
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = f.write(dst[:0])
			}
		})
	}
}
