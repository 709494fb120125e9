package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// FuzzSession has clients send any commands in any order while a neighbour publishes and
// subscribes. Each byte of the input chooses the next step, see attack. For any input the server
// survives and its memory is proportional to the bytes sent. It acknowledges only messages that are
// on its disk. The journal has each identity once (G3) and each publisher in order (G4), and the
// neighbour is not disturbed.
func FuzzSession(f *testing.F) {
	for _, s := range sessionStories() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 2<<10 || bytes.Contains(input, []byte("neigh")) {
			return
		}
		synctest.Test(t, func(t *testing.T) { attack(t, input) })
	})
}

// The steps of an attack, with the inputs that they take.
const (
	stepCommand = iota // a command from choices
	stepLogon          // a logon from choices
	stepFrame          // length and content of a frame
	stepBytes          // length and bytes
	stepSwitch         // to the other connection, or a new one
	stepClose          // how
	stepWait           // how long
	stepGood           // a turn of the neighbour
	stepsEnd
)

// sessionStories returns the seed inputs: normal sessions, and known hostile ones.
func sessionStories() [][]byte {
	logon := []byte{stepLogon, 1, 0, 0, 0, 0, 0}
	ext := []byte{stepLogon, 1, 0, 1, 1, 0, 0}
	publish := func(seq byte) []byte { return []byte{stepCommand, 0, seq, 0, 0, 1, 0, 0, 0} }
	command := func(c byte) []byte { return []byte{stepCommand, c, 0, 0, 0, 2, 0, 1, 0} }
	raw := func(s string) []byte { return append([]byte{stepFrame, byte(len(s))}, s...) }
	good, wait := []byte{stepGood}, []byte{stepWait, 3}
	story := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	var all [][]byte
	for _, who := range [][]byte{logon, ext} {
		all = append(all,
			story(who, publish(1), publish(1), publish(1), good, wait),
			story(who, who, publish(1), good), // two logons
			story(publish(1), good),           // a command before the logon
			story(who, publish(2), publish(3), good, publish(4), wait),
			story(who, publish(5), who, publish(6), good),
			story(who, command(4), command(4), command(5), command(5), good, wait), // one id twice, unsubscribe of an unknown id
			story(who, command(9), command(10), command(11), command(12), command(13), good),
			story(who, raw(`{"c":"ack","cid":"1","a":"persisted","s":18446744073709551615}`), good),
			story(who, []byte{stepCommand, 4, 0, 1, 0, 3, 3, 2, 4}, publish(1), good, wait, []byte{stepSwitch, 1}, ext, publish(1)),
			story(who, raw("\x81\xa1a\x01"), good),
			story(who, []byte{stepBytes, 4, 0xff, 0xff, 0xff, 0xff}, good),
		)
	}
	return all
}

// choices has the values that a byte of the input can choose.
var choices = struct {
	commands, sequences, topics, acks, options, bookmarks, ids, extras, names, stores, users []string
}{
	commands: []string{
		"p", "publish", "delta_publish", "sow_delete", "subscribe", "unsubscribe", "flush", "heartbeat", "logon",
		"ack", "sow", "sow_and_subscribe", "start_timer", "group_begin", "nonsense", "",
	},
	sequences: []string{"", "next", "0", "1", "2", "18446744073709551615", "18446744073709551614", "9223372036854775808", "1000000000", "-1"},
	topics:    []string{"t", "good", "", "^t$", ".*", "(", "/AMPS/devnull", "/AMPS/x", "../../etc/passwd", `a\u0000b`, "x{1000}x{1000}x{1000}", "\xff"},
	acks:      []string{"", "persisted", "processed", "processed,completed,persisted", "received,stats", "nonsense"},
	options: []string{
		"", "replace", "bookmark,timestamp", "vector", "vector,bookmark_not_found=epoch", "fully_durable", "rate=1", "start,1", "start,0",
		"beat", "stop", "[[[", "non_regex_topic", "vector,replace,fully_durable",
	},
	bookmarks: []string{"", "0", "0|1|", "1|1|", "1|1|,2|18446744073709551615|", "20260101T000000Z", "20990101T000000Z", "x", "[1|1|:2|2|]", ",,,"},
	ids:       []string{"", "1", "2", "all", "1,2", `\n`},
	extras:    []string{"", `"filter":"/a=1"`, `"bm":"0","s":"7"`, `"e":4294967296,"k":"../k","x":"y"`, `"top_n":1`, `"lp":"1"`},
	names:     []string{"", "evil", "wicked", "../../evil", `e\u202evil`, "EVIL", `\u0000`},
	stores:    []string{"", "evil life", "another life"},
	users:     []string{"", "joe"},
}

// An attacker is the state of one run of FuzzSession.
type attacker struct {
	t       *testing.T
	i       *servertest.Instance
	input   []byte
	conns   []*hostileConn
	current int // index of the current connection in conns

	opened, sent int // number of connections, number of bytes

	good *neighbour
	wg   sync.WaitGroup
}

// A hostileConn is a connection of the attacker.
type hostileConn struct {
	net.Conn
	next uint64 // next sequence
}

func attack(t *testing.T, input []byte) {
	i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Log.Segment, c.Log.Topics = 1<<20, []string{"^t$", "^good$", "^a"} }))
	a := &attacker{t: t, i: i, input: input, good: newNeighbour(t, i)}
	began := time.Now()
	used := heap.Allocated(func() {
		for len(a.input) > 0 {
			a.step()
		}
		synctest.Wait()
	})
	// The turns of the neighbour also take memory, and so do the heartbeats of each second.
	most := uint64(64*a.sent+8<<20+a.opened*(64<<10)) + a.good.sequence*(32<<10) + uint64(time.Since(began).Seconds())*(16<<10)
	if used > most {
		t.Errorf("%d bytes on %d connections took %d bytes of memory, want no more than %d", a.sent, a.opened, used, most)
	}
	a.good.roundTrip()
	for _, c := range a.conns {
		c.Close()
	}
	a.wg.Wait()
	a.good.close()
	disk := diskOf(i)
	durable := disk.Image(memfs.Durable)
	i.Close()
	a.good.checkJournals(durable, disk)
	for _, name := range disk.Names() {
		if !strings.HasPrefix(name, "data") {
			t.Errorf("there is a file %s", name)
		}
	}
}

// number takes a number below n from the input.
func (a *attacker) number(n int) int {
	if len(a.input) == 0 {
		return 0
	}
	b := a.input[0]
	a.input = a.input[1:]
	return int(b) % n
}

func (a *attacker) choose(from []string) string { return from[a.number(len(from))] }

// takeBytes takes a length and that many bytes from the input.
func (a *attacker) takeBytes() []byte {
	n := min(a.number(256), len(a.input))
	taken := a.input[:n]
	a.input = a.input[n:]
	return taken
}

func (a *attacker) step() {
	switch a.number(stepsEnd) {
	case stepCommand:
		a.frame(a.command())
	case stepLogon:
		a.frame(a.logon())
	case stepFrame:
		a.frame(string(a.takeBytes()))
	case stepBytes:
		a.write(string(a.takeBytes()))
	case stepSwitch:
		a.current = a.number(4)
	case stepClose:
		a.close(a.number(2) == 0)
	case stepWait:
		time.Sleep([]time.Duration{0, time.Millisecond, time.Second, 11 * time.Second, 70 * time.Second}[a.number(5)])
	case stepGood:
		a.good.roundTrip()
	}
}

func (a *attacker) command() string {
	c := a.conn()
	var b strings.Builder
	fmt.Fprintf(&b, `{"c":%q,"cid":"%d"`, a.choose(choices.commands), a.number(3))
	switch s := a.choose(choices.sequences); s {
	case "":
	case "next":
		c.next++
		fmt.Fprintf(&b, `,"s":%d`, c.next)
	default:
		fmt.Fprintf(&b, `,"s":%s`, s)
	}
	field := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, `,"%s":"%s"`, key, value)
		}
	}
	field("t", a.choose(choices.topics))
	field("a", a.choose(choices.acks))
	field("opts", a.choose(choices.options))
	field("bm", a.choose(choices.bookmarks))
	ids := a.number(256)
	field("sub_id", choices.ids[ids%len(choices.ids)])
	if extra := choices.extras[ids/16%len(choices.extras)]; extra != "" {
		b.WriteString("," + extra)
	}
	return b.String() + "}hostile"
}

func (a *attacker) logon() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"c":"logon","cid":"0","a":"processed","client_name":"%s","user_id":"%s"`, a.choose(choices.names), a.choose(choices.users))
	ext, store := a.number(2), a.choose(choices.stores)
	if ext == 1 {
		fmt.Fprintf(&b, `,"ext":"1","store":"%s","n":%d`, store, a.number(3))
	}
	return b.String() + fmt.Sprintf(`,"acked":%d}`, []uint64{0, 1, 2, 1 << 63, 1<<64 - 1}[a.number(5)])
}

// conn returns the current connection, or a new one if there is none.
func (a *attacker) conn() *hostileConn {
	for len(a.conns) <= a.current {
		ctx, cancel := context.WithTimeout(a.t.Context(), time.Second)
		c, err := a.i.Dial(ctx, "tcp", a.i.Addr())
		cancel()
		if err != nil {
			a.t.Fatalf("the server takes no connections: %v", err)
		}
		a.conns = append(a.conns, &hostileConn{Conn: c})
		a.opened++
		a.wg.Go(func() { a.checkAnswers(c) })
	}
	return a.conns[a.current]
}

func (a *attacker) frame(content string) { a.write(frame(content)) }

// write sends bytes, whether the server reads them or not.
func (a *attacker) write(b string) {
	c := a.conn()
	c.SetWriteDeadline(time.Now().Add(time.Second))
	n, _ := c.Write([]byte(b))
	a.sent += n
	synctest.Wait()
}

func (a *attacker) close(half bool) {
	c := a.conn()
	if side, can := c.Conn.(interface{ CloseWrite() error }); can && half {
		side.CloseWrite()
		return
	}
	c.Close()
	a.conns = slices.Delete(a.conns, a.current, a.current+1)
	a.current = 0
}

// checkAnswers reads the frames of the server. It checks that no message is acknowledged that the
// server does not have.
func (a *attacker) checkAnswers(c net.Conn) {
	r := wire.NewReader(c, 64<<20)
	var m wire.Message
	for {
		f, err := r.Next()
		if err != nil {
			return
		}
		if err := wire.Parse(f, &m); err != nil {
			a.t.Errorf("the server says %q: %v", f, err)
			return
		}
		if m.Command != wire.Ack || m.Acks != wire.AckPersisted || string(m.Status) != "success" || m.Bookmark == nil || m.SubID != nil {
			continue
		}
		b, err := bookmark.Parse(m.Bookmark)
		if s := a.i.Server(); err != nil || s != nil && testdoor.Inside(s).Have(b.Publisher) < b.Sequence {
			a.t.Errorf("acknowledged %s, which it does not have", f)
		}
	}
}

// A neighbour is a publisher and a subscriber without faults.
type neighbour struct {
	t        *testing.T
	pub, sub *raw
	sequence uint64
}

const (
	goodLife = "good life"
	goodUser = "the neighbour"
)

func newNeighbour(t *testing.T, i *servertest.Instance) *neighbour {
	t.Helper()
	n := &neighbour{t: t, pub: dial(t, i), sub: dial(t, i)}
	n.pub.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":"good","user_id":%q,"a":"processed","ext":"1","store":%q,"n":1}`, goodUser, goodLife))
	n.sub.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":"good reader","user_id":%q,"a":"processed"}`, goodUser))
	n.sub.send(`{"c":"subscribe","cid":"1","t":"^good$","bm":"0","a":"processed"}`)
	for _, m := range []*wire.Message{n.pub.message(), n.sub.message(), n.sub.message()} {
		if string(m.Status) != "success" {
			t.Fatalf("the neighbour got %s %s", m.Status, m.Reason)
		}
	}
	return n
}

// roundTrip publishes a message, which must be acknowledged and delivered immediately: in virtual
// time only waiting for another client would take time.
func (n *neighbour) roundTrip() {
	n.t.Helper()
	began := time.Now()
	n.sequence++
	n.pub.send(fmt.Sprintf(`{"c":"p","t":"good","a":"persisted","s":%d}`, n.sequence), body(n.sequence))
	n.pub.awaitPersisted(n.sequence, "")
	publisher := bookmark.IdentityOfLife(goodLife).ID
	want, own := bookmark.Bookmark{Publisher: publisher, Sequence: n.sequence}.String(), fmt.Appendf(nil, "%d|", publisher)
	for {
		m := n.sub.message()
		if m.Command != wire.Publish || !bytes.HasPrefix(m.Bookmark, own) {
			continue // a message of another client, which is allowed
		}
		if string(m.Bookmark) != want || string(m.Body) != body(n.sequence) {
			n.t.Fatalf("the neighbour was sent %s %s, want %s", m.Bookmark, m.Body, want)
		}
		break
	}
	if d := time.Since(began); d > 0 {
		n.t.Errorf("the neighbour waited %v", d)
	}
}

func (n *neighbour) close() {
	n.pub.close()
	n.sub.close()
}

// checkJournals checks that the neighbour's messages are on the disks of the server.
func (n *neighbour) checkJournals(disks ...*memfs.FS) {
	n.t.Helper()
	for _, d := range disks {
		if _, err := journals.Verify(d, "data"); err != nil {
			n.t.Fatal(err)
		}
		next := uint64(1)
		err := journals.Dump(d, "data", func(r *journal.Record) error {
			if r.Publisher != bookmark.IdentityOfLife(goodLife).ID {
				return nil
			}
			if r.Kind != journal.Message || r.Sequence != next || string(r.Topic) != "good" || string(r.Body) != body(next) {
				return fmt.Errorf("%v %d of topic %s where message %d was published", r.Kind, r.Sequence, r.Topic, next)
			}
			next++
			return nil
		})
		if err != nil || next != n.sequence+1 {
			n.t.Errorf("the journal holds the neighbour's messages below %d of %d, %v", next, n.sequence, err)
		}
	}
}
