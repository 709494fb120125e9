package server_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A badRow is one kind of bad input: cases with one client each, and tests that need several
// clients.
type badRow struct {
	input string
	cases []badCase
	more  map[string]func(t *testing.T)
}

// A badCase is a sequence of steps of one client, with the expected results. A step is
//
//	+name   log on
//	>text   send a frame
//	!text   send raw bytes
//	<text   the next frame from the server contains this
//	x       the server closes within a second
//	x3s     the server closes after three to five seconds
//	open    the server still serves the client
type badCase struct {
	name  string
	steps []string
}

// These limits hold for any input: bytes allocated for a hostile connection beyond the bytes that
// it has sent, and for each byte sent, freed or not. The second one includes the costs of the test
// itself: buffers that double as they grow, and a bookmark, which is longer in memory than its
// shortest text.
const (
	connectionBytes = 64 << 10
	bytesPerByte    = 24
)

// badInput returns all rows. Features that this server does not have, such as compression and
// content filters, have no rows except for their refusals. Other tests cover the
// rest: the fuzz target of package client covers the messages of a server, TestNameInUse a name in
// use on two instances, and TestHalfClose a client that has closed its side.
func badInput() []badRow {
	type more = map[string]func(t *testing.T)
	return []badRow{
		{"random bytes, TLS hello or HTTP GET on the port", notAClient(), nil},
		{"length prefix 0, 1, 2^31-1, 2^32-1, longer than the limit", badLengths(), more{"on the replication port": replicationPort}},
		{"valid length, body never comes", slowLoris(), more{"ten thousand": manySlow, "more than there is room for": tooManyWithoutLogon}},
		{"never reading", nil, more{"subscriber": subscriberNeverReads, "publisher": publisherNeverReads}},
		{"invalid UTF-8, NUL, control characters, bidi marks, 1 MiB names", badNames(), more{"twins by normalisation": normalisationTwins}},
		{"names as paths", pathNames(), nil},
		{"filter and pattern bombs", patternBombs(), nil},
		{"JSON: duplicate keys, 1e400, deep nesting, lone surrogates", badJSON(), more{"both instances alike": bothAgree}},
		{"command out of turn", outOfTurn(), nil},
		{"name collision", nameCollisions(), nil},
		{"bookmark: malformed, future, 10^5 entries", badBookmarks(), nil},
	}
}

func notAClient() []badCase {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 2000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	noise[0] = 0xff // certainly not a valid length
	var all []badCase
	for name, input := range map[string]string{
		"random bytes":           string(noise),
		"TLS hello":              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(noise),
		"HTTP":                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"no JSON":                frame("hello"),
		"open brace":             frame("{"),
		"nested":                 frame(`{"c":{"c":"logon"}}`),
		"truncated header":       frame(`{"c":"logon","client_name":"x`),
		"long header":            frame(`{"c":"logon","client_name":"` + strings.Repeat("x", 100_000) + `"}`),
		"replication on the way": "\x00\x00\x00\x04\x81\xa1a\x01",
	} {
		all = append(all, badCase{name, []string{"!" + input, "x"}})
	}
	for name, answer := range map[string]string{
		`{"c":"nonsense"}`: "logon required",
		`{"c":"logon","client_name":"a","mt":"smoke"}`:   "invalid message type",
		`{"c":"logon","client_name":"a","opts":"magic"}`: "invalid options",
	} {
		all = append(all, badCase{name, []string{">" + name, "<" + answer, "x"}})
	}
	return all
}

func badLengths() []badCase {
	var all []badCase
	for name, prefix := range map[string]string{
		"1": "\x00\x00\x00\x01{", "2^31-1": "\x7f\xff\xff\xff{", "2^32-1": "\xff\xff\xff\xff{", "2^31": "\x80\x00\x00\x00{", "limit+1": "\x00\x02\x00\x01{",
	} {
		all = append(all, badCase{name, []string{"!" + prefix, "x"}})
	}
	for name, prefix := range map[string]string{"1": "\x00\x00\x00\x01{", "2^31-1": "\x7f\xff\xff\xff{}", "2^32-1": "\xff\xff\xff\xff{}"} {
		all = append(all, badCase{name + " of a frame that does not come, after the logon", []string{
			"+evil", `>{"c":"heartbeat","opts":"start,2"}`, "!" + prefix, "x"}})
	}
	return append(all,
		badCase{"0", []string{"!\x00\x00\x00\x00", "+evil", "!\x00\x00\x00\x00\x00\x00\x00\x00", "open"}},
		badCase{"longer than the limit", []string{"+evil", `>{"c":"p","t":"t","s":1,"a":"persisted"}` + strings.Repeat("x", 17<<20), "<message too large", "open"}},
		badCase{"a subscribe longer than the limit", []string{"+evil", `>{"c":"subscribe","cid":"1","t":"t"}` + strings.Repeat("x", 17<<20), "<command too large", "x"}},
	)
}

func slowLoris() []badCase {
	half := strings.Repeat("x", 50_000)
	return []badCase{
		{"says nothing", []string{"x3s"}},
		{"half a prefix", []string{"!\x00\x00", "x3s"}},
		{"only empty frames", []string{"!\x00\x00\x00\x00\x00\x00\x00\x00", "x3s"}},
		{"a prefix, no frame", []string{"!\x00\x00\x10\x00", "x3s"}},
		{"half a logon", []string{`!` + frame(`{"c":"logon","client_name":"` + half)[:40_000], "x3s"}},
		{"the largest logon never comes", []string{"!\x00\x01\x00\x00{", "x3s"}},
	}
}

func badNames() []badCase {
	logon := func(field, value string) []string {
		return []string{fmt.Sprintf(`>{"c":"logon","cid":"0","client_name":"evil","a":"processed","ext":"1","store":"life","%s":"%s"}`, field, value)}
	}
	var all []badCase
	for name, text := range map[string]string{
		"no UTF-8": "a\xff", "half a rune": "a\xc3", "NUL": `a\u0000`, "newline": `a\nb`, "C1 control": `a\u0085`, "turned writing": `a\u202eb`, "2 KiB": strings.Repeat("n", 2<<10),
	} {
		for field, answer := range map[string]string{"client_name": "invalid client name", "user_id": "invalid user", "store": "invalid store"} {
			all = append(all, badCase{name + " in " + field, append(logon(field, text), "<"+answer, "x")})
		}
	}
	long := strings.Repeat("n", 1<<20)
	topic := func(text string) string { return fmt.Sprintf(`>{"c":"p","t":"%s","s":1,"a":"persisted"}`, text) }
	subscribe := func(text string) string {
		return fmt.Sprintf(`>{"c":"subscribe","cid":"1","t":"%s","a":"processed"}`, text)
	}
	return append(all,
		badCase{"1 MiB as a name", append(logon("client_name", long), "x")},
		badCase{"1 MiB as a topic", []string{"+evil", topic(long), "x"}},
		badCase{"1 MiB as a subscription's topic", []string{"+evil", subscribe(long), "x"}},
		badCase{"control in a topic", []string{"+evil", topic(`a\u0000b`), "<invalid topic", "open"}},
		badCase{"no UTF-8 in a topic", []string{"+evil", topic("a\xff"), "<invalid topic", "open"}},
		badCase{"control in a subscription's topic", []string{"+evil", subscribe(`a\tb`), "<invalid topic", "open"}},
		badCase{"no UTF-8 in a subscription's topic", []string{"+evil", subscribe("a\xff"), "<invalid topic", "open"}},
		badCase{"two ways to write é are two names", []string{"+caf\u00e9", "open"}},
		badCase{"any body", []string{"+evil", `>{"c":"subscribe","cid":"1","t":"t","a":"processed"}`, "<success",
			`>{"c":"p","t":"t"}` + "\x00\xff\xfe{\"}\u202e", "<}\x00\xff\xfe{\"}\u202e", "open"}},
	)
}

// pathNames returns cases with names that have a meaning to a file system. run checks that they
// make no new file.
func pathNames() []badCase {
	var all []badCase
	for _, name := range []string{"../../evil", "/etc/passwd", `C:\\evil`, "CON", "aux.txt", strings.Repeat("n", 256), "EVIL", "evil", ".", ".."} {
		all = append(all, badCase{name[:min(len(name), 20)], []string{
			fmt.Sprintf(`>{"c":"logon","cid":"0","client_name":"%s","a":"processed","ext":"1","store":"%s"}`, name, name), "<success",
			fmt.Sprintf(`>{"c":"p","t":"%s","s":1,"a":"persisted"}x`, name), `<"s":1`,
			fmt.Sprintf(`>{"c":"subscribe","cid":"%s","t":"%s","bm":"0","opts":"non_regex_topic"}`, name, name), `<"sids"`, "open",
		}})
	}
	return all
}

func patternBombs() []badCase {
	subscribe := func(field, value string) string {
		return fmt.Sprintf(`>{"c":"subscribe","cid":"1","t":"^t$","a":"processed","%s":"%s"}`, field, value)
	}
	all := []badCase{
		{"filter", []string{"+evil", subscribe("filter", strings.Repeat("(", 50_000)), "<content filters are not offered", "open"}},
		{"exponential pattern", []string{"+evil", subscribe("t", "(a+)+$"), "<success", `>{"c":"p","t":"` + strings.Repeat("a", 60_000) + `!"}`, "open"}},
		{"options", []string{"+evil", subscribe("opts", strings.Repeat("[", 60_000)), "<invalid options", "open"}},
	}
	for name, pattern := range map[string]string{
		"nested": strings.Repeat("(", 60_000), "repeats": strings.Repeat("x{1000}", 9000), "a few repeats": strings.Repeat("x{1000}", 20),
		"classes": strings.Repeat(`[\\pL\\pN]`, 6000), "alternatives": strings.Repeat("a|", 30_000), "unclosed": "(", "folded": strings.Repeat(`(?i:[k-\\x{10ffff}])`, 99),
	} {
		all = append(all, badCase{name, []string{"+evil", subscribe("t", pattern), "<bad regex topic", "open"}})
	}
	return all
}

func badJSON() []badCase {
	return []badCase{
		{"a key twice", []string{"+evil", `>{"c":"p","c":"flush","cid":"7","t":"t","a":"completed"}`, `<"cid":"7","a":"completed"`, "open"}},
		{"1e400", []string{"+evil", `>{"c":"p","t":"t","s":1e400}`, "x"}},
		{"a negative number", []string{"+evil", `>{"c":"p","t":"t","s":-1}`, "x"}},
		{"2^64", []string{"+evil", `>{"c":"p","t":"t","s":18446744073709551616}`, "x"}},
		{"deep nesting", []string{"+evil", `>{"c":"p","t":` + strings.Repeat("[", 60_000), "x"}},
		{"half a surrogate pair", []string{"+evil", `>{"c":"p","t":"a\ud800","s":1,"a":"persisted"}`, `<"s":1`, "open"}},
		{"no end", []string{"+evil", `>{"c":"p","t":"t`, "x"}},
	}
}

func outOfTurn() []badCase {
	publish := func(s uint64) string { return fmt.Sprintf(`>{"c":"p","t":"t","s":%d,"a":"persisted"}`, s) }
	return []badCase{
		{"a command before the logon", []string{publish(1), "<logon required", "x"}},
		{"logon twice", []string{"+evil", `>{"c":"logon","cid":"9","client_name":"other","a":"processed"}`, "<duplicate logon", publish(1), `<"s":1`, "open"}},
		{"an unknown command", []string{"+evil", `>{"c":"nonsense","cid":"9"}`, "<invalid command", "x"}},
		{"a server's command", []string{"+evil", `>{"c":"group_begin","cid":"9"}`, "<invalid command", "x"}},
		{"an ack of a message that was never sent", []string{"+evil", `>{"c":"ack","cid":"9","a":"persisted","s":7}`, "<is not offered", "open"}},
		{"sequence 0", []string{"+evil", `>{"c":"p","cid":"9","t":"t","s":0,"a":"persisted"}`, `<"cid":"9","a":"persisted","status":"success"`, "open"}},
		{"the largest sequence", []string{"+evil", publish(1), `<"s":1`, publish(1<<63 - 1), "<publish gap", "x"}},
		{"a sequence above the largest", []string{"+evil", publish(1), `<"s":1`, publish(1 << 63), "x"}},
		{"a jump by 10^9", []string{"+evil", publish(1), `<"s":1`, publish(1e9), "<publish gap", "x"}},
		{"decreasing", []string{"+evil", publish(1), `<"s":1`, publish(2), `<"s":2`, publish(1), `<"s":2`, "open"}},
		{"one number, two contents", []string{"+evil", publish(1), `<"s":1`, publish(1) + "x", "<duplicate with other content", "open"}},
		{"a number left out that was not stated", []string{`>{"c":"logon","cid":"0","client_name":"evil","a":"processed","ext":"1","store":"life","last":9,"rejected":"2-3"}`, "<success",
			`>{"c":"p","t":"t","s":4,"a":"persisted"}`, "<publish gap", "x"}},
		{"more let go of than given out", []string{`>{"c":"logon","cid":"0","client_name":"evil","a":"processed","ext":"1","store":"life","acked":7,"last":6}`, "<contradict", "x"}},
		{"spans out of order", []string{`>{"c":"logon","cid":"0","client_name":"evil","a":"processed","ext":"1","store":"life","last":9,"rejected":"5-6,2-3"}`, "<contradict", "x"}},
		{"an id twice", []string{"+evil", `>{"c":"subscribe","cid":"1","t":"t"}`, `>{"c":"subscribe","cid":"1","t":"u","a":"processed"}`, "<subid in use",
			`>{"c":"p","t":"t"}x`, `<"sids":"1"`, "open"}},
		{"unsubscribe of nothing", []string{"+evil", `>{"c":"unsubscribe","cid":"1","sub_id":"77","a":"processed"}`, "<success", "open"}},
		{"a heartbeat of no seconds", []string{"+evil", `>{"c":"heartbeat","cid":"1","opts":"start,0","a":"processed"}`, "<invalid options", "open"}},
		{"a heartbeat of ages", []string{"+evil", `>{"c":"heartbeat","cid":"1","opts":"start,18446744073709551616","a":"processed"}`, "<invalid options", "open"}},
		{"replication", []string{"+evil", "!\x00\x00\x00\x04\x01\x02\x03\x04\x81\xa1a\x01", "x"}},
	}
}

func nameCollisions() []badCase {
	logon := func(fields string) string {
		return `>{"c":"logon","cid":"0","a":"processed",` + fields + `}`
	}
	return []badCase{
		{"name of another user", []string{logon(`"client_name":"good"`), "<name in use", "x"}},
		{"name of another user, and a user", []string{logon(`"client_name":"good","user_id":"joe"`), "<name in use", "x"}},
		{"life of another user's store", []string{logon(fmt.Sprintf(`"client_name":"evil","ext":"1","store":%q,"n":9`, goodLife)), "<name in use", "x"}},
	}
}

func badBookmarks() []badCase {
	subscribe := func(bm, options string) string {
		return fmt.Sprintf(`>{"c":"subscribe","cid":"1","t":"t","bm":"%s","opts":"%s","a":"processed"}`, bm, options)
	}
	ext := `>{"c":"logon","cid":"0","client_name":"evil","a":"processed","ext":"1","store":"life"}`
	publish := `>{"c":"p","t":"t"}x`
	return []badCase{
		{"malformed", []string{"+evil", subscribe("nonsense", ""), "<invalid bookmark", "open"}},
		{"half", []string{"+evil", subscribe("7|", ""), "<invalid bookmark", "open"}},
		{"2^64", []string{"+evil", subscribe("7|18446744073709551616|", ""), "<invalid bookmark", "open"}},
		{"a month 13", []string{"+evil", subscribe("20261301T000000Z", ""), "<invalid bookmark", "open"}},
		{"a range", []string{"+evil", subscribe("[0:1|1|)", ""), "<not offered", "open"}},
		{"never issued", []string{"+evil", subscribe("7|99|", "bookmark_not_found=fail"), "<bookmark not found", "open"}},
		{"never issued, from the beginning", []string{"+evil", publish, subscribe("7|99|", "bookmark_not_found=epoch"), "<success", `<"sids":"1"`, "open"}},
		{"never issued, as a vector", []string{ext, "<success", publish, subscribe("7|99|", "vector"), "<success", `<"sids":"1"`, "open"}},
		{"in the far future", []string{"+evil", subscribe("20991231T000000Z", ""), "<success", publish, "open"}},
		{"10^5 entries", []string{ext, "<success", publish, subscribe(strings.TrimSuffix(strings.Repeat("7|99|,", 1e5), ","), "vector"), "<success", `<"sids":"1"`, "open"}},
	}
}

// For any input that no correct client sends, the server gives the expected answer, serves another
// client as before and without delay, and takes a limited amount of memory.
func TestBadInput(t *testing.T) {
	passed, cases, peak := 0, 0, uint64(0)
	rows := badInput()
	for _, row := range rows {
		ok := t.Run(row.input, func(t *testing.T) {
			for _, c := range row.cases {
				t.Run(c.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { peak = max(peak, c.run(t)) })
				})
			}
			for name, f := range row.more {
				t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
			}
		})
		if ok {
			passed++
			cases += len(row.cases) + len(row.more)
		}
	}
	t.Logf("bad input: %d of %d rows passed with %d cases, at most %d bytes of memory for a connection beyond what it sent", passed, len(rows), cases, peak)
}

// run runs the steps. It returns how many bytes were allocated meanwhile, beyond the allowance for
// the bytes sent.
func (c *badCase) run(t *testing.T) (beyond uint64) {
	i := servertest.New(t)
	good := newNeighbour(t, i)
	good.roundTrip()
	files := diskOf(i).Names()
	var before, after runtime.MemStats
	synctest.Wait() // what the start has left to do is not the client's
	bad := &badClient{raw: dial(t, i)}
	runtime.ReadMemStats(&before)
	for _, step := range c.steps {
		bad.step(step)
	}
	synctest.Wait()
	runtime.ReadMemStats(&after)
	used := after.TotalAlloc - before.TotalAlloc
	if most := uint64(connectionBytes + bytesPerByte*bad.sent); used > most {
		t.Errorf("%d bytes took %d bytes of memory, want no more than %d", bad.sent, used, most)
	}
	good.roundTrip()
	if now := diskOf(i).Names(); !slices.Equal(now, files) {
		t.Errorf("the disk holds %q, and held %q", now, files)
	}
	disk := diskOf(i)
	i.Close()
	good.checkJournals(disk)
	return used - min(used, bytesPerByte*uint64(bad.sent))
}

// A badClient runs the steps of a badCase.
type badClient struct {
	*raw
	sent int
}

func (c *badClient) step(step string) {
	c.t.Helper()
	kind, text := step[0], step[1:]
	switch {
	case kind == '+':
		text = fmt.Sprintf(`{"c":"logon","cid":"0","client_name":"%s","a":"processed"}`, text)
		c.write(frame(text))
		c.step("<success")
	case kind == '>':
		c.write(frame(text))
	case kind == '!':
		c.write(text)
	case kind == '<':
		if got := c.next(); !strings.Contains(got, text) {
			c.t.Fatalf("got %.200s\nwant something with %.200s", got, text)
		}
	case kind == 'x':
		c.wantClosedAfter(text)
	case step == "open":
		c.write(frame(`{"c":"flush","cid":"still here","a":"completed"}`))
		for !strings.Contains(c.next(), "still here") {
		}
	}
}

// write sends bytes. The server may refuse to read them.
func (c *badClient) write(b string) {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	n, _ := c.conn.Write([]byte(b))
	c.sent += n
}

// wantClosedAfter waits until the server has closed. Before that it may send only failures and
// heartbeats.
func (c *badClient) wantClosedAfter(after string) {
	c.t.Helper()
	began := time.Now()
	c.conn.SetReadDeadline(began.Add(time.Minute))
	for {
		f, err := c.r.Next()
		if err != nil {
			break
		}
		if text := string(f); !strings.Contains(text, "failure") && !strings.Contains(text, `"heartbeat"`) {
			c.t.Errorf("answered %s", text)
		}
	}
	least, most := time.Duration(0), 5*time.Second
	if after != "" {
		least, most = 3*time.Second, 5*time.Second
	}
	if d := time.Since(began); d < least || d > most {
		c.t.Errorf("closed after %v, want %v to %v", d, least, most)
	}
}

// Ten thousand clients that send nothing or too little cannot keep others out for long, and take no
// memory that they have not sent.
func manySlow(t *testing.T) {
	i := servertest.New(t)
	good := newNeighbour(t, i)
	begun := heapInUse()
	most := uint64(0)
	for range 10 {
		var wave []*badClient
		for n := range 1000 {
			c := &badClient{raw: dial(t, i)}
			c.write([]string{"", "\x00", "\x00\x02\x00\x00{", frame(`{"c":"logon"`)[:8]}[n%4])
			wave = append(wave, c)
		}
		synctest.Wait()
		most = max(most, heapInUse()-begun)
		good.roundTrip()
		time.Sleep(11 * time.Second)
		for _, c := range wave {
			c.close() // otherwise the server waits for the client to read its last frame
		}
		synctest.Wait()
	}
	synctest.Wait()
	if st := i.Server().Status(); len(st.Sessions) != 2 || st.TurnedAway > 10*(1000-512) { // so many of each wave make room
		t.Errorf("%d sessions, %d turned away", len(st.Sessions), st.TurnedAway)
	}
	good.roundTrip()
	if most > 1000*connectionBytes {
		t.Errorf("%d bytes of memory for 1000 connections", most)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// If there are too many connections without a logon, one of them makes room for a new client.
func tooManyWithoutLogon(t *testing.T) {
	i := servertest.New(t)
	good := newNeighbour(t, i)
	silent := make([]*raw, 512)
	for n := range silent {
		silent[n] = dial(t, i)
		synctest.Wait()
	}
	good.roundTrip()
	dial(t, i).logon("another")
	good.roundTrip()
	closed := 0
	for _, c := range silent {
		c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.readFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("%d connections made room for one", closed)
	}
}

// A subscriber that never reads is ended; others get their messages.
func subscriberNeverReads(t *testing.T) {
	i := servertest.New(t)
	good := newNeighbour(t, i)
	lazy := dial(t, i)
	lazy.logon("lazy")
	lazy.send(`{"c":"subscribe","cid":"1","t":"a","a":"processed"}`)
	lazy.next()
	synctest.Wait()
	p := dial(t, i)
	p.logon("pubber")
	for s := range uint64(4) {
		p.send(fmt.Sprintf(`{"c":"p","t":"a","s":%d}`, s+1), strings.Repeat("x", 1<<20))
		good.roundTrip()
	}
	p.wantSilence(11 * time.Second)
	if n := len(i.Server().Status().Sessions); n != 3 {
		t.Errorf("%d sessions, want 3: a client that does not read is closed", n)
	}
	good.roundTrip()
}

// A publisher that never reads its acks is ended. Until then the output waiting for it is limited.
func publisherNeverReads(t *testing.T) {
	i := servertest.New(t, logTopics("^good$"))
	good := newNeighbour(t, i)
	lazy := &badClient{raw: dial(t, i)}
	lazy.step("+lazy")
	began := time.Now()
	id := strings.Repeat("i", 250)
	for n := 0; len(i.Server().Status().Sessions) == 3; n++ {
		lazy.write(frame(`{"c":"p","t":"gossip","a":"received,processed,completed,persisted","cid":"` + id + `"}`))
		if n%100 == 0 {
			good.roundTrip()
		}
		if lazy.sent > 16<<20 {
			t.Fatalf("%d bytes answered to nobody", lazy.sent)
		}
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("ended after %v", d)
	}
	good.roundTrip()
}

// Two Unicode spellings of one name are two publishers.
func normalisationTwins(t *testing.T) {
	i := servertest.New(t)
	for _, name := range []string{"caf\u00e9", "cafe\u0301"} {
		c := &badClient{raw: dial(t, i)}
		c.step("+" + name)
		c.publish("t", 1, 1)
		c.awaitPersisted(1, "")
		if have := i.Have(bookmark.IdentityOfName(name).ID); have != 1 {
			t.Errorf("%q has %d", name, have)
		}
	}
	if n := len(i.Server().Status().Sessions); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// Both instances agree about a header at the edge of the format: they give the same answer and have
// the same messages.
func bothAgree(t *testing.T) {
	pair := servertest.NewPair(t)
	for n, publish := range []string{
		`{"c":"p","t":"a","t":"b","s":9,"s":1,"a":"persisted"}x`, `{"c":"p","t":"a\ud800","s":1,"a":"persisted"}x`, `{"c":"p","t":"\udc00\ud800","s":1,"a":"persisted"}x`,
		`{"c":"p","t":null,"s":1,"a":"persisted"}x`, `{"c":"p","t":"a","s":"1","a":"persisted"}x`, `{"c":p,"t":1e400,"s":1,"a":"persisted"}x`,
		"{\"c\":\"p\",\"t\":\"a\xed\xa0\x80\",\"s\":1,\"a\":\"persisted\"}x", `{"c":"p","t":"a","s":01,"a":"persisted"}x`, `{"c":"p","t":{},"s":1}x`,
	} {
		var answers [2]string
		for k, i := range []*servertest.Instance{pair.A, pair.B} {
			name := fmt.Sprintf("twin %d %s", n, i.Name())
			c := dial(t, i)
			c.logon(name)
			c.send(publish)
			text, err := c.read()
			hash := fmt.Sprint(bookmark.IdentityOfName(name).ID)
			answers[k] = fmt.Sprint(strings.ReplaceAll(text, hash, "publisher"), err != nil)
		}
		if answers[0] != answers[1] {
			t.Errorf("%s: answered\n%s by one and\n%s by the other", publish, answers[0], answers[1])
		}
	}
	held := func(i *servertest.Instance) (all []string) {
		for _, m := range i.Messages("") {
			all = append(all, fmt.Sprintf("%d|%d %q %q", m.Publisher, m.Sequence, m.Topic, m.Body))
		}
		slices.Sort(all)
		return all
	}
	if a, b := held(pair.A), held(pair.B); len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("one holds %q, the other %q", a, b)
	}
}

// A stranger on the replication port is closed and gets no memory for the lengths that it states.
// The link and the clients go on.
func replicationPort(t *testing.T) {
	pair := servertest.NewPair(t)
	good := newNeighbour(t, pair.A)
	for _, input := range []string{
		"", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x01\x00\x00\x00\x00x", "\x7f\xff\xff\xff\x00\x00\x00\x00", "\xff\xff\xff\xff\x00\x00\x00\x00",
		"\x00\x10\x00\x00\x00\x00\x00\x00\x01", "GET / HTTP/1.1\r\n\r\n", frame(`{"c":"logon"}`), "\x00\x00\x00\x06\xb8\xb0\x6d\x6b\x01\xc6\x7f\xff\xff\xff",
	} {
		var before, after runtime.MemStats
		synctest.Wait() // what the start has left to do is not the stranger's
		conn, err := pair.A.Dial(t.Context(), "tcp", "a:9107")
		if err != nil {
			t.Fatal(err)
		}
		c := &badClient{raw: &raw{t: t, conn: conn}}
		runtime.ReadMemStats(&before)
		c.write(input)
		synctest.Wait()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > connectionBytes {
			t.Errorf("%q took %d bytes of memory", input, used)
		}
		good.roundTrip()
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%q: not closed: %v", input, err)
		}
		good.roundTrip()
	}
	if st := pair.A.Server().Status().Links[0]; st.State != "sync" {
		t.Errorf("the link is %s", st.State)
	}
}
