package client_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// FuzzHostileServer sends arbitrary frames, before or after a good logon, to a client that
// publishes, subscribes and queries. The client must not panic or hang. Its queues must not
// grow beyond their bounds, and it must not allocate memory for lengths that are only claimed. It
// must not let go of messages that it has not sent. A line of input is a frame; a line that begins
// with "!" is written to the connection unchanged.
func FuzzHostileServer(f *testing.F) {
	for _, seed := range []string{
		`{"c":"ack","a":"persisted","s":2,"status":"success"}`,
		`{"c":"ack","a":"persisted","s":18446744073709551615,"status":"success","level":"single"}`,
		`{"c":"ack","a":"persisted","s":9223372036854775807,"status":"success","level":"single"}`,
		`{"c":"ack","a":"persisted","s":1,"status":"failure","reason":"not entitled"}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","s":9223372036854775807,"have":9223372036854775807,"max":9223372036854775807}`,
		`{"c":"ack","cid":"2","a":"processed","status":"success","bm":"5|9223372036854775807|","gap":"5|1|9223372036854775807"}` + "\n" + `{"c":"ack","a":"persisted","sub_id":"2","bm":"5|9|,6|9223372036854775807|"}`,
		`{"c":"ack","a":"processed","status":"failure","reason":"publish gap"}`,
		`{"c":"ack","a":"processed","status":"failure","reason":"name in use"}`,
		`{"c":"ack","cid":"2","a":"processed","status":"success","bm":"5|1|","gap":"5|1|18446744073709551615"}` + "\n" + `{"c":"p","t":"orders","sids":"2,2,3","bm":"5|2|"}x`,
		`{"c":"ack","cid":"2","a":"processed","status":"failure","reason":"bookmark not found","gap":"x"}`,
		`{"c":"ack","a":"processed","status":"success","sync":"single"}` + "\n" + `{"c":"ack","a":"processed","status":"success","sync":"?"}` + "\n" + `{"c":"ack","a":"persisted","s":2,"sync":"sync"}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","instance":"` + strings.Repeat("x", 5000) + `","peers":",,a,` + strings.Repeat(",", 5000) + `","sync":"async"}`,
		`{"c":"ack","a":"persisted","sub_id":"2","bm":"5|9|,6|18446744073709551615|"}`,
		`{"c":"p","t":"orders","sids":"2","bm":"0|0|","ts":"20260101T000000.5Z"}`,
		`{"c":"sow","query_id":"3","bs":2}{"k":"1","l":1}a{"l":18446744073709551615}b`,
		`{"c":"group_begin","query_id":"3"}` + "\n" + `{"c":"ack","cid":"3","a":"completed","status":"success"}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","s":9,"have":9,"max":1}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","s":9}`,
		`{"c":"ack","cid":"0","a":"processed","status":"retry"}`,
		strings.Repeat(`{"c":"ack","cid":"0","a":"processed","status":"retry","user_id":"joe","pw":"bm9uY2U="}`+"\n", 9),
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","s":18446744073709551615,"have":18446744073709551615,"max":18446744073709551615}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","s":5,"have":1,"bm":"x","carried":"(,[,x{1000}x{1000}","version":"9.x"}`,
		strings.Repeat(`{"c":"p","t":"orders","sids":"2,77,","bm":"5|1|"}x`+"\n", 30),
		strings.Repeat(`{"c":"p","t":"orders","sids":"2"}x`+"\n", 30),
		`{"c":"p","t":"orders","sids":"2","bm":"20260101T000000Z"}x` + "\n" + `{"c":"p","t":"orders","sids":"2","bm":"1|2|,3|4|"}x`,
		`{"c":"ack","a":"persisted","sub_id":"2","bm":"` + strings.Repeat("7|99|,", 2000) + `"}`,
		`{"c":"ack","cid":"2","a":"processed","status":"success","sub_id":"other","bm":"0|1|"}` + "\n" + `{"c":"ack","cid":"2","a":"completed","status":"failure"}`,
		`{"c":"ack","a":"persisted","s":1,"status":"failure"}` + "\n" + `{"c":"ack","a":"persisted","s":2,"status":"failure"}` + "\n" + `{"c":"ack","a":"persisted","s":1,"status":"success"}`,
		`{"c":"ack","cid":"77","a":"stats","matches":18446744073709551615}` + "\n!" + "\x00\xff\xff\xff{",
		"!\xff\xff\xff\xff{}", "!\x00\x00\x00\x00\x00\x00\x00\x01{", "!HTTP/1.1 400", "{}", "", "heartbeat",
	} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	whole := stretch(f, "2,3", 1, sequenceRange(1, 9)...)
	if bytes.Contains(whole, []byte("\n")) {
		f.Fatal("it is no line")
	}
	f.Add(true, append([]byte("!"), whole...))
	f.Add(true, append([]byte("!"), bytes.Replace(whole, []byte{byte(record.Message)}, []byte{byte(record.Tombstone)}, 1)...))
	f.Fuzz(func(t *testing.T, welcome bool, input []byte) {
		if len(input) > 1<<14 {
			return
		}
		synctest.Test(t, func(t *testing.T) { serveHostile(t, welcome, input) })
	})
}

func serveHostile(t *testing.T, welcome bool, input []byte) {
	n := memnet.New()
	ln, err := n.Listen("a:9007")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(n, "a")
	cfg.QueueMessages, cfg.QueueBytes = 8, 1<<10
	cfg.Credentials = func(context.Context, client.Challenge) (user, password string, err error) {
		return "joe", "secret", nil
	}
	c := start(t, cfg)
	publish(t, c, 1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	go drainConn(nc)
	if welcome {
		a := wire.AckMessage{CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true, HasSequence: true, Ext: true, Max: limit}
		nc.Write(a.AppendTo(nil))
		synctest.Wait()
		go c.Subscribe(ctx, "orders", client.From(client.Epoch), client.AcceptGaps())
		synctest.Wait()
		go func() {
			for range c.Execute(ctx, client.Command{Name: "sow", Topic: "orders"}) {
			}
		}()
		synctest.Wait()
	}
	heap.Bounded(t, len(input), 64, 1<<20, func() {
		sendLines(nc, input)
		synctest.Wait()
	})
	for _, s := range c.Stats().Subscriptions {
		if s.Queued > cfg.QueueMessages {
			t.Errorf("%d messages queued, the bound is %d", s.Queued, cfg.QueueMessages)
		}
	}
	if !welcome && !bytes.Contains(input, []byte("success")) {
		if kept := c.Stats().Publish.Outstanding.Messages; kept != 2 {
			t.Errorf("%d messages kept of 2, and nothing was sent", kept)
		}
	}
	nc.Close()
	time.Sleep(time.Second)
	c.Close()
}

// FuzzImpostor sends arbitrary frames, as FuzzHostileServer does, to a client that expects the server
// to prove itself. The client must not log on, and keeps all messages and its life.
func FuzzImpostor(f *testing.F) {
	for _, seed := range []string{
		`{"c":"ack","cid":"0","a":"processed","status":"success","ext":"1","s":9,"have":9,"max":1}`,
		`{"c":"ack","cid":"0","a":"processed","status":"success","s":9}`,
		`{"c":"ack","a":"persisted","s":2,"status":"success"}`,
		`{"c":"ack","a":"persisted","s":1,"status":"failure","reason":"not entitled"}`,
		`{"c":"ack","cid":"0","a":"processed","status":"failure","reason":"publisher diverged","bm":"7|1|"}`,
		`{"c":"ack","a":"processed","status":"failure","reason":"publisher id taken"}`,
		`{"c":"ack","cid":"0","a":"processed","status":"retry","pw":"r=x,s=c2FsdHNhbHQ=,i=4096"}` + "\n" + `{"c":"ack","cid":"0","a":"processed","status":"success"}`,
		strings.Repeat(`{"c":"ack","cid":"0","a":"processed","status":"retry","pw":"v=AAAA"}`+"\n", 3),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 1<<14 {
			return
		}
		synctest.Test(t, func(t *testing.T) { serveImpostor(t, input) })
	})
}

func serveImpostor(t *testing.T, input []byte) {
	n := memnet.New()
	ln, err := n.Listen("a:9007")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(n, "a")
	cfg.Authenticator = client.SCRAM("joe", "pencil")
	cfg.Hooks.Connected = func(client.ServerInfo) { t.Error("logged on") }
	cfg.Hooks.FailedWrite = func(e *client.RejectedError) { t.Errorf("given up: %v", e) }
	cfg.Hooks.LifeRenewed = func(err error) { t.Errorf("new life: %v", err) }
	c := start(t, cfg)
	publish(t, c, 1, 2)
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	go drainConn(nc)
	sendLines(nc, input)
	synctest.Wait()
	if kept := c.Stats().Publish.Outstanding.Messages; kept != 2 {
		t.Errorf("%d messages kept of 2", kept)
	}
	nc.Close()
	synctest.Wait()
	c.Close()
}

// sendLines sends the lines of an input.
func sendLines(nc net.Conn, input []byte) {
	for line := range bytes.SplitSeq(input, []byte("\n")) {
		if raw, ok := bytes.CutPrefix(line, []byte("!")); ok {
			nc.Write(raw)
			continue
		}
		frame := []byte{0, 0, byte(len(line) >> 8), byte(len(line))}
		nc.Write(append(frame, line...))
	}
}

// drainConn reads and drops everything that the client sends, so that the client never blocks.
func drainConn(nc net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
}
