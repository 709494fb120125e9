package client_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// beyond has numbers that a server must not send.
var beyond = []string{"9223372036854775808", "18446744073709551615"}

// sendHeader sends a header after replacing # by number.
func (ss *session) sendHeader(header, number string) {
	header = strings.ReplaceAll(header, "#", number)
	ss.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(header))), header...))
}

// expectPublishAndSubscribe expects a publish with this sequence and a subscribe, and returns the
// subscribe.
func (ss *session) expectPublishAndSubscribe(sequence uint64) *wire.Message {
	ss.t.Helper()
	a, b := ss.next(), ss.next()
	if a != nil && a.Command == wire.Publish {
		a, b = b, a
	}
	if a == nil || a.Command != wire.Subscribe || b == nil || b.Command != wire.Publish || b.Sequence != sequence {
		ss.t.Fatalf("client sent %+v and %+v, want a subscribe and message %d", a, b, sequence)
	}
	return a
}

// A number beyond 2^63-1 breaks the protocol, wherever a server sends it (R1). It ends the
// connection, the client keeps nothing of the frame, and the next server finds the client's state
// unchanged.
func TestNumbersOutOfRange(t *testing.T) {
	const logon = `{"c":"ack","cid":"0","client_name":"me","a":"processed","status":"success",`
	for name, header := range map[string]string{
		"s of a plain logon": logon + `"s":#}`,
		"s of a logon":       logon + `"s":#,"ext":"1","have":0,"max":1048576}`,
		"have of a logon":    logon + `"s":0,"ext":"1","have":#,"max":1048576}`,
		"max of a logon":     logon + `"s":0,"ext":"1","have":0,"max":#}`,
		"persisted":          `{"c":"ack","a":"persisted","s":#,"status":"success"}`,
		"persisted, single":  `{"c":"ack","a":"persisted","s":#,"status":"success","level":"single"}`,
		"rejected":           `{"c":"ack","a":"persisted","s":#,"status":"failure","reason":"not entitled"}`,
		"message":            `{"c":"p","t":"orders","sids":"SUB","bm":"5|#|"}`,
		"base":               `{"c":"ack","cid":"SUB","a":"processed","status":"success","bm":"5|#|"}`,
		"gap":                `{"c":"ack","cid":"SUB","a":"processed","status":"success","bm":"0","gap":"5|1|#"}`,
		"progress":           `{"c":"ack","a":"persisted","sub_id":"SUB","status":"success","bm":"5|#|"}`,
	} {
		for _, number := range beyond {
			t.Run(name+" "+number, func(t *testing.T) {
				run(t, func(t *testing.T, n *memnet.Network) { sendBadNumber(t, n, header, number) })
			})
		}
	}
}

func sendBadNumber(t *testing.T, n *memnet.Network, header, number string) {
	evil, good := listen(t, n, "evil"), listen(t, n, "good")
	c := start(t, config(n, "evil", "good"))
	publish(t, c, 1)
	subscribed := subscribe(t, c, client.From(client.Epoch), client.AcceptGaps())
	ss := evil.accept()
	ss.expect(wire.Logon)
	if strings.Contains(header, `"client_name"`) {
		ss.sendHeader(header, number)
	} else {
		ss.acceptLogon(0, 0)
		sub := string(ss.expectPublishAndSubscribe(1).SubID)
		if !strings.Contains(header, `"cid":"SUB"`) {
			ss.ack(wire.AckMessage{CommandID: sub, Type: wire.AckProcessed, Success: true, Bookmark: "0", SubID: sub})
		}
		ss.sendHeader(strings.ReplaceAll(header, "SUB", sub), number)
	}
	ss.expectClosed()
	ss, m := good.logon(0, 0)
	if m.Acked != 0 {
		t.Errorf("the store has let go up to %d", m.Acked)
	}
	sub := ss.expectPublishAndSubscribe(1)
	if bm := string(sub.Bookmark); bm != bookmark.EpochText && bm != bookmark.ResumeText {
		t.Errorf("resumed from %s", sub.Bookmark)
	}
	ss.ack(wire.AckMessage{CommandID: string(sub.CommandID), Type: wire.AckProcessed, Success: true, Bookmark: "0", SubID: string(sub.SubID)})
	must(t, subscribed)
	synctest.Wait()
	if s := c.Stats(); s.Publish.Rollbacks > 0 || !errors.Is(s.LastFailure, client.ErrProtocol) {
		t.Errorf("%d times rolled back, failure %v", s.Publish.Rollbacks, s.LastFailure)
	}
}

// A server without extensions states a number above 2^62. Too few numbers are left above it for a
// life of the store. The client leaves the server and does not take the number as its plain offset
// (R10).
func TestBaseOutOfRange(t *testing.T) {
	for _, last := range []uint64{1<<62 + 1, 1<<63 - 1} {
		run(t, func(t *testing.T, n *memnet.Network) {
			evil, good := listen(t, n, "evil"), listen(t, n, "good")
			c := start(t, config(n, "evil", "good"))
			publish(t, c, 1)
			evil.plainLogon(last).expectClosed()
			good.plainLogon(1 << 51).expectPublishes(1<<51 + 1)
		})
	}
}
