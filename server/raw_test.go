package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/stretches"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// diskOf returns the disk in memory of an instance.
func diskOf(i *servertest.Instance) *memfs.FS { return testdoor.Part[*memfs.FS](i) }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(daemonDir)
		os.Exit(code)
	}))
}

// patience is how long a raw client waits for a frame, mostly in virtual time.
const patience = 5 * time.Second

// A raw is a client that sends and receives raw frames.
type raw struct {
	t    testing.TB
	conn net.Conn
	r    *stretches.Reader

	syncStates []string // sync statuses that the server sent after the logon
}

func dial(t testing.TB, i *servertest.Instance) *raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := i.Dial(ctx, "tcp", i.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &raw{t: t, conn: conn, r: stretches.NewReader(wire.NewReader(conn, 64<<20))}
}

// bytes sends raw bytes.
func (c *raw) bytes(b string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(b)); err != nil {
		c.t.Fatal(err)
	}
}

// send sends one frame.
func (c *raw) send(header string, body ...string) {
	c.t.Helper()
	c.bytes(frame(header + strings.Join(body, "")))
}

func frame(content string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(content)))) + content
}

// read returns the text of the next frame.
func (c *raw) read() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	return c.readFrame()
}

// readFrame is read without its own deadline. It skips the sync statuses that an extended client
// gets, and keeps them in syncStates.
func (c *raw) readFrame() (string, error) {
	for {
		f, err := c.r.Next()
		if told, is := strings.CutPrefix(string(f), `{"c":"ack","a":"processed","status":"success","sync":"`); is {
			c.syncStates = append(c.syncStates, strings.TrimSuffix(told, `"}`))
			continue
		}
		return string(f), err
	}
}

// next returns the text of the next frame that is not a heartbeat.
func (c *raw) next() string {
	c.t.Helper()
	for {
		text, err := c.read()
		if err != nil {
			c.t.Fatalf("no frame: %v", err)
		}
		if text != `{"c":"heartbeat"}` {
			return text
		}
	}
}

// expect reads frames and compares their texts.
func (c *raw) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); got != w {
			c.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// message reads a frame and parses it.
func (c *raw) message() *wire.Message {
	c.t.Helper()
	var m wire.Message
	if err := wire.Parse([]byte(c.next()), &m); err != nil {
		c.t.Fatal(err)
	}
	return &m
}

// wantSilence checks that the server sends nothing for a while.
func (c *raw) wantSilence(d time.Duration) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(d))
	f, err := c.readFrame()
	if err == nil {
		c.t.Fatalf("got %s, want nothing", f)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %v, want nothing", err)
	}
}

// wantClosed checks that the server closes without another frame.
func (c *raw) wantClosed() {
	c.t.Helper()
	text, err := c.read()
	if err == nil {
		c.t.Fatalf("got %s, want the end", text)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("got %v, want the end", err)
	}
}

func (c *raw) close() { c.conn.Close() }

// logon logs on without extensions and returns the sequence in the ack.
func (c *raw) logon(name string) uint64 {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":%q,"mt":"json","a":"processed","version":"1.0:raw"}`, name))
	m := c.message()
	if string(m.Status) != "success" {
		c.t.Fatalf("logon: %s %s", m.Status, m.Reason)
	}
	return m.Sequence
}

// logonExt logs on with extensions. It returns the ack, and the failure acks of tombstones that
// come before it.
func (c *raw) logonExt(name, store string, n, acked uint64) (ack *wire.Message, failures []string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":%q,"a":"processed","ext":"1","store":%q,"n":%d,"acked":%d,"last":1000000}`, name, store, n, acked))
	for {
		text := c.next()
		var m wire.Message
		if err := wire.Parse([]byte(text), &m); err != nil {
			c.t.Fatal(err)
		}
		if m.Acks == wire.AckPersisted {
			failures = append(failures, text)
			continue
		}
		return &m, failures
	}
}

// publish publishes the messages from..to with persisted acks requested.
func (c *raw) publish(topic string, from, to uint64) {
	c.t.Helper()
	for s := from; s <= to; s++ {
		c.send(fmt.Sprintf(`{"c":"p","t":%q,"a":"persisted","s":%d}`, topic, s), body(s))
	}
}

func body(s uint64) string { return fmt.Sprintf(`{"n":%d}`, s) }

// awaitPersisted reads acks until one has sequence s and this level.
func (c *raw) awaitPersisted(s uint64, level string) {
	c.t.Helper()
	for {
		m := c.message()
		if m.Acks != wire.AckPersisted || string(m.Status) != "success" {
			c.t.Fatalf("got %s ack %d %s, want persisted %d", m.Status, m.Sequence, m.Reason, s)
		}
		if m.Sequence > s {
			c.t.Fatalf("persisted %d, want no more than %d", m.Sequence, s)
		}
		if m.Sequence == s && string(m.Level) == level {
			return
		}
	}
}

// receive reads n messages and returns their bookmarks.
func (c *raw) receive(n int) []string {
	c.t.Helper()
	var got []string
	for len(got) < n {
		m := c.message()
		if m.Command == wire.Publish {
			got = append(got, string(m.Bookmark))
		}
	}
	return got
}

// bookmarks returns the bookmarks of a publisher's messages.
func bookmarks(publisher uint64, from, to uint64) []string {
	var all []string
	for s := from; s <= to; s++ {
		all = append(all, bookmark.Bookmark{Publisher: publisher, Sequence: s}.String())
	}
	return all
}

func segments(size server.Size) servertest.Option {
	return servertest.Config(func(c *server.Config) { c.Log.Segment = size })
}

func logTopics(topics ...string) servertest.Option {
	return servertest.Config(func(c *server.Config) { c.Log.Topics = topics })
}

func maxMessage(n server.Size) servertest.Option {
	return servertest.Config(func(c *server.Config) { c.MaxMessage = n })
}

// daemonDir is the directory of the command that tests run.
var daemonDir string

// awaitLink waits until the link of an instance is in sync.
func (c *raw) awaitLink(i *servertest.Instance) {
	c.t.Helper()
	for range 100 {
		<-time.After(100 * time.Millisecond) // at first, so that a second connection of the pair, which crosses the first, has ended
		st := i.Server().Status()
		if !st.CatchingUp && len(st.Links) > 0 && st.Links[0].State == "sync" {
			return
		}
	}
	c.t.Fatalf("the links of %s: %+v", i.Name(), i.Server().Status().Links)
}

// dialAdmin connects to the admin port.
func dialAdmin(t *testing.T, i *servertest.Instance) *raw {
	t.Helper()
	conn, err := i.Dial(t.Context(), "tcp", i.Server().AdminAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &raw{t: t, conn: conn}
}

func newBufio(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
