package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

func TestParseIsLenient(t *testing.T) {
	for _, tt := range []struct {
		name, frame string
		want        wire.Message
	}{
		{"nothing", `{}`, wire.Message{}},
		{"blanks", "\r\n { \"c\" :\t\"p\" , \"s\" : 7 } b", wire.Message{Command: wire.Publish, Sequence: 7, HasSequence: true, Body: []byte(" b")}},
		{"quoted numbers", `{"c":"p","s":"42","e":"0","bs":"10"}`, wire.Message{Command: wire.Publish, Sequence: 42, HasSequence: true, HasExpiration: true, BatchSize: 10}},
		{"bare texts", `{"c":p,"t":7,"x":true}`, wire.Message{Command: wire.Publish, Topic: []byte("7"), CorrelationID: []byte("true")}},
		{"null", `{"c":"p","t":null,"s":null}`, wire.Message{Command: wire.Publish}},
		{"the last value of a key counts", `{"c":"ack","t":"a","s":1,"c":"p","t":"b","s":2}`, wire.Message{Command: wire.Publish, Topic: []byte("b"), Sequence: 2, HasSequence: true}},
		{"unknown keys", `{"src":"a\"}","c":"p","data_only":true,"max_msgs":-1.5}`, wire.Message{Command: wire.Publish}},
		{"unknown command", `{"c":"redirect"}`, wire.Message{CommandText: []byte("redirect")}},
		{"a brace in a text", `{"c":"p","t":"}"}}`, wire.Message{Command: wire.Publish, Topic: []byte("}"), Body: []byte("}")}},
		{"empty texts", `{"c":"p","t":"","bm":""}`, wire.Message{Command: wire.Publish, Topic: []byte{}, Bookmark: []byte{}}},
		{"acks", `{"c":"p","a":" processed , none,stats"}`, wire.Message{Command: wire.Publish, Acks: wire.AckProcessed | wire.AckStats}},
		{"the largest number", `{"c":"p","s":9223372036854775807}`, wire.Message{Command: wire.Publish, Sequence: 1<<63 - 1, HasSequence: true}},
		{"binary body", "{\"c\":\"p\"}\x00{\"}", wire.Message{Command: wire.Publish, Body: []byte("\x00{\"}")}},
		{"flags", `{"c":"ack","catching_up":true,"have":"0","carried":""}`, wire.Message{Command: wire.Ack, CatchingUp: true, HasHave: true, Carried: []byte{}, HasCarried: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want.Body == nil {
				tt.want.Body = []byte{}
			}
			checkSame(t, parse(t, []byte(tt.frame)), &tt.want)
		})
	}
}

func TestSynonyms(t *testing.T) {
	for long, short := range map[string]string{
		"cmd_id": "cid", "topic": "t", "bookmark": "bm", "f": "filter", "o": "opts", "order_by": "orderby", "sow_key": "k",
		"correlation_id": "x", "timestamp": "ts", "password": "pw",
		"message_type": "mt", "v": "version", "seq": "s", "batch_size": "bs", "expiration": "e", "msg_len": "l",
	} {
		got := parse(t, []byte(`{"c":"p","`+long+`":"12"}`))
		want := parse(t, []byte(`{"c":"p","`+short+`":12}`))
		checkSame(t, got, want)
		if nothing := wire.AppendMessage(nil, got); string(nothing[4:]) == `{"c":"p"}` {
			t.Errorf("%s is not a known key", short)
		}
	}
	checkSame(t, parse(t, []byte(`{"cmd":"subscribe","ack_type":"stats"}`)), parse(t, []byte(`{"c":"subscribe","a":"stats"}`)))
}

func TestEscapesAreRead(t *testing.T) {
	for text, want := range map[string]string{
		`a\"\\\/\b\f\n\r\tz`:   "a\"\\/\b\f\n\r\tz",
		`caf\u00e9\u0000`:      "café\x00",
		"café \xff\x01":        "café \xff\x01",
		`\ud83d\ude00`:         "😀",
		`\uD83D\uDE00`:         "😀",
		`\ud83d`:               "\uFFFD",
		`\ude00\ud83d`:         "\uFFFD\uFFFD",
		`\ud83d\u0041`:         "\uFFFDA",
		`\ud83dx`:              "\uFFFDx",
		`}{\u007d`:             "}{}",
		strings.Repeat("é", 9): strings.Repeat("é", 9),
	} {
		m := parse(t, []byte(`{"c":"p","x":"\t","t":"`+text+`","k":"`+text+`"}`))
		if string(m.Topic) != want || string(m.SOWKey) != want || string(m.CorrelationID) != "\t" {
			t.Errorf("%s read as %q and %q, want %q", text, m.Topic, m.SOWKey, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, frame := range []string{
		``, ` `, `x`, `[]`, `{`, `{"`, `{"c`, `{"c"`, `{"c"}`, `{"c":`, `{"c":}`, `{"c":,"t":"a"}`, `{"c":"p`, `{"c":"p"`, `{"c":"p",`,
		`{"c":"p",}`, `{"c":"p" "t":"a"}`, `{c:"p"}`, `{"c":"p","t":{"a":1}}`, `{"c":"p","t":[1]}`, `{"c":"p","t":a"}`,
		`{"c":"p","t":"\x"}`, `{"c":"p","t":"\u12"}`, `{"c":"p","t":"\u12g4"}`, `{"c":"p","t":"\`, `{"c":"p","t":"\"}`, `{"c":p`,
		`{"c":"p","s":-1}`, `{"c":"p","s":""}`, `{"c":"p","s":"1x"}`, `{"c":"p","s":1.5}`, `{"c":"p","s":18446744073709551616}`,
	} {
		var m wire.Message
		var header *wire.HeaderError
		if err := wire.Parse([]byte(frame), &m); !errors.As(err, &header) {
			t.Errorf("Parse(%s): %v", frame, err)
		} else if header.Offset < 0 || header.Offset > len(frame) || header.Reason == "" {
			t.Errorf("Parse(%s): offset %d of %d, %q", frame, header.Offset, len(frame), header.Reason)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	long := strings.Repeat("1", wire.MaxHeader)
	for _, tt := range []struct {
		header string
		ok     bool
	}{
		{`{"c":"subscribe","bm":"` + long + `","t":"a"}`, true},
		{`{"c":"ack","gap":"` + long + `"}`, true},
		{`{"bm":"1","t":"` + long[:wire.MaxHeader-100] + `"}`, true},
		{`{"c":"subscribe","filter":"` + long + `"}`, false},
		{`{"c":"subscribe","unknown":"` + long + `"}`, false},
		{`{"bm":"` + long + `","t":"` + long + `"}`, false},
	} {
		var m wire.Message
		if err := wire.Parse([]byte(tt.header), &m); (err == nil) != tt.ok {
			t.Errorf("Parse(%.40s…): %v", tt.header, err)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	frames := [][]byte{vectorNamed(t, "V20").frame(t)[4:], vectorNamed(t, "V16").frame(t)[4:], vectorNamed(t, "V63").frame(t)[4:]}
	var m wire.Message
	n := testing.AllocsPerRun(100, func() {
		for _, f := range frames {
			if err := wire.Parse(f, &m); err != nil {
				t.Error(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCommandNames(t *testing.T) {
	for c := wire.Publish; c <= wire.OOF; c++ {
		if got := wire.ParseCommand([]byte(c.String())); got != c {
			t.Errorf("%v read as %v", c, got)
		}
	}
	if wire.ParseCommand([]byte("publish")) != wire.Publish || wire.ParseCommand([]byte("unknown")) != wire.Unknown {
		t.Error("publish or unknown is not recognized")
	}
	if wire.Command(200).String() != "unknown" {
		t.Error("a command that does not exist has a name")
	}
}
