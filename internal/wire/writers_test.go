package wire_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

type writer interface{ AppendTo(dst []byte) []byte }

var (
	keys   = [2]string{"12010650231874566212", "4418302280195110637"}
	pubber = uint64(7094790850998930143)
)

// written has the writer of each vector that the AppendTo of a command covers.
var written = map[string]writer{
	"V01": &wire.LogonCommand{CommandID: "0", ClientName: "pubber", MessageType: "json", Acks: wire.AckProcessed, Version: "1.0.0:go"},
	"V02": &wire.LogonCommand{CommandID: "0", ClientName: "pubber", UserID: "joe", Password: `s3cr"et`, CorrelationID: "c2Vzc2lvbjE=",
		MessageType: "json", Acks: wire.AckProcessed, Options: "ack_conflation=100ms", Version: "1.0.0:go"},
	"V03": &wire.AckMessage{CommandID: "0", HasSequence: true, Bookmark: "7094790850998930143|0|", ClientName: "pubber",
		Type: wire.AckProcessed, Success: true, Reason: wire.ReasonAuthDisabled, Version: "5.3.5.0"},
	"V04": &wire.AckMessage{CommandID: "0", HasSequence: true, Sequence: 41, Bookmark: "7094790850998930143|41|", ClientName: "pubber",
		Type: wire.AckProcessed, Success: true, Version: "5.3.5.0"},
	"V06": &wire.LogonCommand{CommandID: "0", ClientName: "pubber", UserID: "joe", Password: "bm9uY2U0Mjpoc2g=",
		MessageType: "json", Acks: wire.AckProcessed, Version: "1.0.0:go"},
	"V07": &wire.AckMessage{CommandID: "0", Type: wire.AckProcessed, Reason: wire.ReasonAuthFailure, Version: "5.3.5.0"},
	"V08": &wire.PublishCommand{Topic: "orders", Body: []byte(`{"id":1}`)},
	"V10": &wire.PublishCommand{CommandID: "7", Topic: "orders", Acks: wire.AckPersisted, Sequence: 42, Body: []byte(`{"id":1,"px":10.5}`)},
	"V11": &wire.PublishCommand{Topic: "images", Expiration: 30, HasExpiration: true, CorrelationID: "cmVxLTE=", SOWKey: "img-0017",
		Body: []byte("\xff\xd8\xff\xe0\x00\x10JFIF")},
	"V12": &wire.PublishCommand{Topic: "pulse"},
	"V13": &wire.PublishCommand{Delta: true, CommandID: "8", Topic: "orders", Acks: wire.AckPersisted, Sequence: 43, Body: []byte(`{"id":1,"px":11}`)},
	"V14": &wire.AckMessage{Type: wire.AckPersisted, HasSequence: true, Sequence: 43, Bookmark: "7094790850998930143|43|", Success: true},
	"V15": &wire.AckMessage{Type: wire.AckPersisted, HasSequence: true, Sequence: 44, Reason: wire.ReasonNotEntitled},
	"V16": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "1", Topic: "orders", SubID: "1", Acks: wire.AckProcessed,
		Filter: `/name = "O'Neil" AND /sym LIKE '^IB\.'`},
	"V17": &wire.AckMessage{CommandID: "1", Type: wire.AckProcessed, Success: true, SubID: "1"},
	"V18": &wire.AckMessage{CommandID: "1", Type: wire.AckProcessed, Reason: wire.ReasonBadFilter},
	"V19": &wire.Delivery{Topic: []byte("orders"), SubIDs: []byte("1,4"), SOWKey: []byte(keys[0]), Body: []byte(`{"id":1,"px":11}`)},
	"V20": &wire.Delivery{Topic: []byte("orders"), Bookmark: bookmark.Bookmark{Publisher: pubber, Sequence: 43},
		Timestamp:     time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC).UnixMicro(),
		CorrelationID: []byte("cmVxLTE="), UserID: []byte("joe"), SubIDs: []byte("2"), Body: []byte(`{"id":1,"px":11}`)},
	"V21": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "2", Topic: "orders", SubID: "2", Bookmark: "0",
		Acks: wire.AckProcessed | wire.AckCompleted | wire.AckPersisted, Options: "timestamp"},
	"V22": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "3", Topic: "orders", SubID: "3", Bookmark: "0|1|", Acks: wire.AckProcessed},
	"V23": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "21", Topic: "orders", SubID: "2",
		Bookmark: "7094790850998930143|43|,12290412031115262887|1484244707000000008|",
		Acks:     wire.AckProcessed | wire.AckPersisted, Options: "timestamp,bookmark_not_found=epoch"},
	"V24": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "5", Topic: `^orders\.`, SubID: "5",
		Bookmark: "[20200604T000000:20200605T000000)", Acks: wire.AckProcessed | wire.AckCompleted, Options: "rate=2X,rate_max_gap=3s"},
	"V25": &wire.AckMessage{CommandID: "2", Type: wire.AckCompleted, Success: true, SubID: "2", Bookmark: "7094790850998930143|43|"},
	"V26": &wire.AckMessage{CommandID: "2", Type: wire.AckPersisted, Success: true, SubID: "2", Bookmark: "7094790850998930143|57|"},
	"V27": &wire.AckMessage{CommandID: "21", Type: wire.AckProcessed, Reason: wire.ReasonInvalidBookmark},
	"V28": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "22", Topic: "orders", SubID: "1", Acks: wire.AckProcessed,
		Filter: "/px > 12", Options: "replace"},
	"V29": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "23", Topic: "orders", SubID: "2,5", Acks: wire.AckProcessed, Options: "resume,"},
	"V30": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "24", Topic: "ticks", SubID: "24", Acks: wire.AckProcessed,
		Options: "conflation=250ms,conflation_key=[/sym,/venue]"},
	"V31": &wire.SubscribeCommand{Command: wire.SOW, CommandID: "9", Topic: "orders", QueryID: "9", BatchSize: 10, Filter: "/px >= 10",
		OrderBy: "/px DESC, /id", Acks: wire.AckProcessed | wire.AckCompleted, Options: "top_n=2,skip_n=0"},
	"V35": &wire.AckMessage{CommandID: "9", QueryID: "9", Type: wire.AckCompleted, Success: true},
	"V37": &wire.SubscribeCommand{Command: wire.SOW, CommandID: "10", Topic: "orders", QueryID: "10",
		Acks: wire.AckProcessed | wire.AckStats, Options: "top_n=0"},
	"V38": &wire.SubscribeCommand{Command: wire.SOWAndSubscribe, CommandID: "11", Topic: "orders", SubID: "11", QueryID: "11", BatchSize: 10,
		Filter: "/state = 'open'", Acks: wire.AckProcessed | wire.AckCompleted, Options: "oof"},
	"V41": &wire.SubscribeCommand{Command: wire.SOWAndDeltaSubscribe, CommandID: "12", Topic: "orders", SubID: "12", QueryID: "12", BatchSize: 10,
		OrderBy: "/id", Acks: wire.AckProcessed, Options: "top_n=20,skip_n=40,oof,no_empties"},
	"V42": &wire.SubscribeCommand{Command: wire.SOW, CommandID: "13", Topic: "orders", QueryID: "13", BatchSize: 10,
		Acks: wire.AckProcessed | wire.AckCompleted, Options: "projection=[SUM(/px * /qty) AS /total,/sym AS /sym],grouping=[/sym]"},
	"V43": &wire.SubscribeCommand{Command: wire.SOWDelete, CommandID: "14", Topic: "orders", Filter: "1=1", Acks: wire.AckProcessed | wire.AckStats},
	"V46": &wire.SubscribeCommand{Command: wire.SOWDelete, CommandID: "16", Topic: "orders", Acks: wire.AckProcessed | wire.AckStats, Body: []byte(`{"id":1}`)},
	"V47": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "17", Topic: "work", SubID: "17", Acks: wire.AckProcessed, Options: "max_backlog=10"},
	"V50": &wire.SubscribeCommand{Command: wire.SOWDelete, CommandID: "18", Topic: "work", Bookmark: "7094790850998930143|46|,7094790850998930143|47|"},
	"V51": &wire.SubscribeCommand{Command: wire.SOWDelete, CommandID: "19", Topic: "work", Bookmark: "7094790850998930143|48|", Options: "cancel"},
	"V52": &wire.HeartbeatCommand{CommandID: "20", Options: wire.HeartbeatStart(30 * time.Second), Acks: wire.AckProcessed},
	"V53": &wire.AckMessage{CommandID: "20", Type: wire.AckProcessed, Success: true},
	"V54": &wire.HeartbeatCommand{},
	"V55": &wire.HeartbeatCommand{Options: wire.HeartbeatBeat},
	"V56": &wire.FlushCommand{CommandID: "30", Acks: wire.AckCompleted},
	"V57": &wire.AckMessage{CommandID: "30", Type: wire.AckCompleted, Success: true},
	"V58": &wire.UnsubscribeCommand{CommandID: "31", SubID: "1,24", Acks: wire.AckProcessed},
	"V59": &wire.UnsubscribeCommand{CommandID: "32", SubID: "all"},
	"V60": &wire.UnsubscribeCommand{CommandID: "33", QueryID: "9"},
	"V61": &wire.AckMessage{CommandID: "34", Type: wire.AckProcessed, Reason: wire.ReasonInvalidOptions},
}

// notCovered lists the vectors that only AppendMessage writes, or that nothing writes.
var notCovered = map[string]bool{
	"V05": true, "V09": true, "V32": true, "V33": true, "V34": true, "V36": true, "V39": true, "V40": true, "V44": true, "V45": true, "V48": true,
	"V49": true, "V62": true, "V63": true,
}

func TestWritersGiveTheVectors(t *testing.T) {
	for _, v := range vectors(t) {
		w := written[v.ID]
		if w == nil {
			if !notCovered[v.ID] {
				t.Errorf("%s (%s): no writer", v.ID, v.What)
			}
			continue
		}
		if got, want := w.AppendTo(nil), v.frame(t); string(got) != string(want) {
			t.Errorf("%s:\n%q, want\n%q", v.ID, got, want)
		}
	}
}

// extensions are frames that only a sender with our extensions writes.
var extensions = map[string]writer{
	`{"c":"logon","cid":"0","client_name":"gw","a":"processed","version":"1:go","ext":"1","store":"Zx7","n":3,"acked":0,"last":0}`: &wire.LogonCommand{
		CommandID: "0", ClientName: "gw", Acks: wire.AckProcessed, Version: "1:go", Ext: true, Store: "Zx7", Counter: 3},
	`{"c":"ack","cid":"0","s":41,"bm":"7|41|","client_name":"gw","a":"processed","status":"success","version":"5.3.5.0.holdfast-1",` +
		`"ext":"1","have":43,"max":16777216,"catching_up":"true","carried":""}`: &wire.AckMessage{
		CommandID: "0", Sequence: 41, HasSequence: true, Bookmark: "7|41|", ClientName: "gw", Type: wire.AckProcessed, Success: true,
		Version: "5.3.5.0.holdfast-1", Ext: true, Have: 43, Max: 16 << 20, CatchingUp: true, HasCarried: true},
	`{"c":"ack","cid":"0","s":0,"client_name":"gw","a":"processed","status":"success","ext":"1","have":0,"max":0,"carried":"^a$,^b$"}`: &wire.AckMessage{
		CommandID: "0", HasSequence: true, ClientName: "gw", Type: wire.AckProcessed, Success: true, Ext: true, Carried: "^a$,^b$", HasCarried: true},
	`{"c":"ack","cid":"0","s":0,"client_name":"gw","a":"processed","status":"success","ext":"1","have":0,"max":0,` +
		`"instance":"a","peers":"b,c","sync":"single"}`: &wire.AckMessage{
		CommandID: "0", HasSequence: true, ClientName: "gw", Type: wire.AckProcessed, Success: true, Ext: true,
		Instance: "a", Peers: "b,c", Sync: syncstatus.Single.String()},
	`{"c":"ack","cid":"0","s":0,"client_name":"gw","a":"processed","status":"success","ext":"1","have":0,"max":0,` +
		`"instance":"c","peers":"","sync":"async"}`: &wire.AckMessage{
		CommandID: "0", HasSequence: true, ClientName: "gw", Type: wire.AckProcessed, Success: true, Ext: true,
		Instance: "c", Sync: syncstatus.Async.String()},
	`{"c":"ack","a":"processed","status":"success","sync":"sync"}`: &wire.AckMessage{
		Type: wire.AckProcessed, Success: true, Sync: syncstatus.InSync.String()},
	`{"c":"logon","cid":"0","client_name":"gw","ext":"1","store":"Zx7","n":3,"acked":4,"last":19,"rejected":"6-6,8-12"}`: &wire.LogonCommand{
		CommandID: "0", ClientName: "gw", Ext: true, Store: "Zx7", Counter: 3, Acked: 4, Last: 19, Rejected: []wire.Span{{From: 6, To: 6}, {From: 8, To: 12}}},
	`{"c":"logon","cid":"0","client_name":"gw","ext":"1","store":"","n":0,"acked":0,"last":0,"cluster":"c1","incarnation":2}`: &wire.LogonCommand{
		CommandID: "0", ClientName: "gw", Ext: true, Cluster: "c1", Incarnation: 2},
	`{"c":"ack","cid":"0","s":0,"client_name":"gw","a":"processed","status":"success","ext":"1","have":9,"max":0,"cluster":"c1","incarnation":2,"lost":"4-9"}`: &wire.AckMessage{
		CommandID: "0", HasSequence: true, ClientName: "gw", Type: wire.AckProcessed, Success: true, Ext: true, Have: 9,
		Cluster: "c1", Incarnation: 2, Lost: []wire.Span{{From: 4, To: 9}}},
	`{"c":"ack","a":"persisted","s":43,"status":"success","level":"single"}`: &wire.AckMessage{
		Type: wire.AckPersisted, Sequence: 43, HasSequence: true, Success: true, Single: true},
	`{"c":"ack","a":"processed","status":"failure","reason":"publish gap"}`: &wire.AckMessage{
		Type: wire.AckProcessed, Reason: wire.ReasonPublishGap},
	`{"c":"ack","cid":"4","a":"processed","status":"failure","reason":"bookmark not found","sub_id":"4","gap":"7|1|9,8|2|3"}`: &wire.AckMessage{
		CommandID: "4", Type: wire.AckProcessed, Reason: wire.ReasonBookmarkNotFound, SubID: "4",
		Gap: string(wire.AppendGaps(nil, []wire.Gap{{Publisher: 7, From: 1, To: 9}, {Publisher: 8, From: 2, To: 3}}))},
}

func TestExtensions(t *testing.T) {
	for want, w := range extensions {
		frame := w.AppendTo([]byte("before"))[len("before"):]
		if string(frame[4:]) != want || int(binary.BigEndian.Uint32(frame)) != len(want) {
			t.Errorf("%x %q, want\n%q", frame[:4], frame[4:], want)
		}
		m := parse(t, frame[4:])
		checkSame(t, parse(t, wire.AppendMessage(nil, m)[4:]), m)
	}
}

func TestEscapesAreWritten(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	frame := (&wire.PublishCommand{Topic: string(all)}).AppendTo(nil)
	if got := string(parse(t, frame[4:]).Topic); got != string(all) {
		t.Errorf("read back as %q", got)
	}
	const want = `{"c":"p","t":"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f` +
		`\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f !\"#`
	if got := string(frame[4:]); len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("written as %q", got)
	}
}

func TestAppendMessageOfNothing(t *testing.T) {
	for want, m := range map[string]*wire.Message{
		`{}`:                     {},
		`{}x`:                    {Body: []byte("x")},
		`{"t":"a","bm":""}`:      {Topic: []byte("a"), Bookmark: []byte{}},
		`{"c":"redirect","s":0}`: {CommandText: []byte("redirect"), HasSequence: true},
		`{"c":"heartbeat"}`:      {Command: wire.Heartbeat},
		`{"c":"p","t":"a"}{}`:    {Command: wire.Publish, Topic: []byte("a"), Body: []byte("{}")},
	} {
		if got := wire.AppendMessage(nil, m); string(got[4:]) != want {
			t.Errorf("%s, want %s", got[4:], want)
		}
	}
}

func TestWritersDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, id := range []string{"V10", "V14", "V20", "V04"} {
		w := written[id]
		if n := testing.AllocsPerRun(100, func() { dst = w.AppendTo(dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations", id, n)
		}
	}
}
