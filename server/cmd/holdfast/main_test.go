package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/buildinfo"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A testDir is a directory of a test, with journals and stores for the commands.
type testDir struct {
	t   *testing.T
	dir string
}

func newTestDir(t *testing.T) *testDir { return &testDir{t, t.TempDir()} }

func (d *testDir) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// mask lists patterns for text that differs between runs, and their replacements in the
// golden files. Positions differ because the syncer writes notes at any time.
var mask = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`damaged-[0-9]{8}T[0-9]{6}Z`), "damaged-TIME"},
	{regexp.MustCompile(`(publisher|has) [0-9]{9,}`), "$1 PUBLISHER"},
	{regexp.MustCompile(`"publisher":"[0-9]{9,}"`), `"publisher":"PUBLISHER"`},
	{regexp.MustCompile(`(cluster |"cluster":")[0-9a-f]{32}`), "${1}CLUSTER"},
	{regexp.MustCompile(`20[2-9][0-9]-[0-9-]+T[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(?m)(^|: ) *[0-9]+  (200)`), "$1 POSITION  $2"},
	{regexp.MustCompile(`(position|positions|offset|"(?:position|offset|first|end|durable|bytes|torn_bytes)":)( ?)[0-9]+( to [0-9]+)?`), "$1${2}N"},
	{regexp.MustCompile(`(segments?, |tail: )[0-9]+ bytes`), "${1}N bytes"},
	{regexp.MustCompile(`[0-9]+ bytes, [0-9]+ of them in pages with data; [0-9]+ free`), "N bytes, N of them in pages with data; N free"},
	{regexp.MustCompile(`"live":[0-9]+,"free_pages":[0-9]+`), `"live":N,"free_pages":N`},
}

// life matches the secret random id of a life of a store.
var life = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)

// holdfast runs the command and returns the command line, its output and its exit code.
// It fails the test if the command has changed a file.
func (d *testDir) holdfast(args ...string) string {
	d.t.Helper()
	shown := strings.Join(args, " ")
	before := d.contents()
	text := d.runChanging(args...)
	if d.contents() != before {
		d.t.Errorf("%s has changed files that it examined", shown)
	}
	return text
}

// runChanging is like holdfast, for a command that may change files.
func (d *testDir) runChanging(args ...string) string {
	d.t.Helper()
	shown := strings.Join(args, " ")
	for i, a := range args {
		if !strings.HasPrefix(a, "-") && i > 1 {
			args[i] = d.path(a)
		}
	}
	return d.show(shown, args...)
}

// runLiteral is like holdfast, but no argument is a name in the directory.
func (d *testDir) runLiteral(args ...string) string {
	d.t.Helper()
	return d.show(strings.Join(args, " "), args...)
}

// show runs the command and returns the masked output. shown is the command line for it.
func (d *testDir) show(shown string, args ...string) string {
	d.t.Helper()
	var out bytes.Buffer
	code := run(args, &out, &out)
	text := strings.ReplaceAll(out.String(), d.dir+string(filepath.Separator), "")
	text = filepath.ToSlash(text)
	if life := life.FindString(text); life != "" { // a secret: whoever knows it can publish as the store
		d.t.Errorf("holdfast %s prints a life of a store: %s", shown, life)
	}
	for _, m := range mask {
		text = m.pattern.ReplaceAllString(text, m.replacement)
	}
	return fmt.Sprintf("$ holdfast %s\n%s[exit %d]\n\n", shown, text, code)
}

// contents returns all files in the directory, as text.
func (d *testDir) contents() string {
	var all strings.Builder
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %d %x\n", path, len(b), b)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all.String()
}

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run the test with -update and look at the change. Got:\n%s", file, got)
	}
}

// journal makes a journal of records in segments of 4 KiB, with one second between
// records.
func (d *testDir) journal(name string, rs ...journal.Record) {
	d.t.Helper()
	j := d.open(name)
	for i := range rs {
		if v, err := j.Append(&rs[i]); err != nil || v != journal.Accepted {
			d.t.Fatal(v, err)
		}
		if err := j.Sync(); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDir) open(name string) *journal.Journal {
	d.t.Helper()
	at := time.Date(2001, 2, 3, 4, 4, 59, 0, time.UTC) // Open asks once
	now := func() time.Time {
		at = at.Add(time.Second)
		return at
	}
	j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: d.path(name), SegmentBytes: 4 << 10,
		Now: now, Elapsed: func() time.Duration { return 0 }})
	if err != nil {
		d.t.Fatal(err)
	}
	return j
}

func message(publisher, sequence uint64, topic, body string) journal.Record {
	return journal.Record{Kind: journal.Message, Publisher: publisher, Sequence: sequence, Prev: sequence - 1, Topic: []byte(topic), Body: []byte(body)}
}

// testRecords returns messages 1 to n of two publishers, and a tombstone.
func testRecords(n uint64) (rs []journal.Record) {
	for s := uint64(1); s <= n; s++ {
		rs = append(rs, message(7, s, "orders", fmt.Sprintf("%d", s)), message(9, s, "fills.eu", strings.Repeat("x", 40)))
	}
	return append(rs, journal.Record{Kind: journal.Tombstone, Publisher: 9, Sequence: n + 1, Prev: n, Topic: []byte("a topic"), Reason: []byte("not logged"), User: []byte("joe")})
}

// flip inverts one byte of a file, at an offset from the end of the nth occurrence of
// text.
func (d *testDir) flip(name, text string, nth, offset int) {
	d.t.Helper()
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	at := 0
	for ; nth > 0; nth-- {
		at += bytes.Index(b[at:], []byte(text)) + len(text)
	}
	b[at+offset] ^= 0xff
	if err := os.WriteFile(d.path(name), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

const firstSegment = "/0000000000000000.log"

func TestJournalDump(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(3)...)
	var headers pubstore.Headers
	headers.Set("tenant", "eu")
	headers.Set("any", "\xff\x00")
	withHeaders := message(7, 1, "orders", "body")
	withHeaders.Headers, withHeaders.CorrelationID = headers.Encoded(), []byte("id \xfe")
	d.journal("headers", withHeaders)
	golden(t, "journal_dump", d.holdfast("journal", "dump", "a")+
		d.holdfast("journal", "dump", "a", "--json", "--body", "--publisher=7", "--from=2001-02-03T04:05:02Z")+
		d.holdfast("journal", "dump", "a", "--topic=^fills", "--from=1", "--to=2001-02-03T04:05:04Z")+
		d.holdfast("journal", "dump", "a", "--topic=a topic")+
		d.holdfast("journal", "dump", "headers")+
		d.holdfast("journal", "dump", "headers", "--json"))
}

func TestJournalVerify(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(3)...)
	d.journal("torn", testRecords(2)...)
	d.flip("torn"+firstSegment, "not logged", 1, 100) // after the last record
	d.journal("damaged", testRecords(20)...)
	d.flip("damaged"+firstSegment, "orders", 2, 0)
	golden(t, "journal_verify", d.holdfast("journal", "verify", "a")+
		d.holdfast("journal", "verify", "torn")+
		d.holdfast("journal", "verify", "damaged")+
		d.holdfast("journal", "dump", "damaged", "--to=2001-02-03T04:05:05Z"))
}

func TestJournalTrim(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(60)...)
	golden(t, "journal_trim", d.runChanging("journal", "trim", "a", "--bytes=14000")+
		d.holdfast("journal", "trim", "a", "--bytes=14000")+
		d.holdfast("journal", "trim", "a", "--bytes=0")+
		d.holdfast("journal", "trim", "nowhere", "--bytes=1"))
	if shown := d.holdfast("journal", "verify", "a"); !strings.Contains(shown, "publisher 7: up to 60") || !strings.Contains(shown, "sound") {
		t.Error(shown)
	}
}

func TestJournalTrimmed(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(30)...)
	d.journal("b", testRecords(30)...)
	j := d.open("a")
	if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got := d.holdfast("journal", "verify", "a") + d.holdfast("journal", "compare", "a", "b")
	// Notes take space, so the ends of segments differ from run to run, too.
	counts := regexp.MustCompile(`(removed up to |compared above |  |a: |, |including )[0-9]+( records|;| only| messages|\n)`)
	golden(t, "journal_trimmed", counts.ReplaceAllString(got, "${1}N$2"))
}

func TestJournalCompare(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(3)...)
	// The same records in another order.
	d.journal("b", message(7, 1, "orders", "1"), message(7, 2, "orders", "2"), message(9, 1, "fills.eu", strings.Repeat("x", 40)),
		message(9, 2, "fills.eu", strings.Repeat("x", 40)), message(9, 3, "fills.eu", strings.Repeat("x", 40)), testRecords(3)[6], message(7, 3, "orders", "3"))
	// Fewer records of one publisher, other content of the other.
	d.journal("c", message(7, 1, "orders", "1"), message(9, 1, "fills.eu", "y"))
	golden(t, "journal_compare", d.holdfast("journal", "compare", "a", "b")+d.holdfast("journal", "compare", "a", "c"))
}

// The JSON output is for programs: the names of the fields must not change.
func TestJournalJSON(t *testing.T) {
	d := newTestDir(t)
	d.journal("a", testRecords(3)...)
	d.journal("c", message(7, 1, "orders", "1"), message(9, 1, "fills.eu", "\xff"))
	d.journal("damaged", testRecords(20)...)
	d.flip("damaged"+firstSegment, "orders", 2, 0)
	golden(t, "journal_json", d.holdfast("journal", "verify", "a", "--json")+
		d.holdfast("journal", "verify", "damaged", "--json")+
		d.holdfast("journal", "compare", "a", "a", "--json")+
		d.holdfast("journal", "compare", "a", "c", "--json")+
		d.holdfast("journal", "dump", "c", "--json", "--body", "--publisher=9"))
}

// outbox makes a file store with three messages; the first one is safe.
func (d *testDir) outbox(name string, syncs time.Duration) *pubstore.File {
	d.t.Helper()
	s, err := pubstore.OpenFile(d.path(name), pubstore.FileOptions{
		SegmentBytes: 4 << 10, SyncInterval: syncs,
		SyncAlways: syncs == 0, // no stage, which would heal the damage of a test
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.fill(s)
	return s
}

func (d *testDir) fill(s pubstore.Store) {
	d.t.Helper()
	_, err := s.Logon("order-gateway")
	for i := range 3 {
		if _, aerr := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: fmt.Appendf(nil, "order %d", i)}); err == nil {
			err = aerr
		}
	}
	life := s.Lives()[0].ID
	if err := errors.Join(err, s.Discard(life, 1), s.Reject(life, 3)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDir) close(closers ...interface{ Close() error }) {
	d.t.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
}

func TestFileStore(t *testing.T) {
	d := newTestDir(t)
	d.close(d.outbox("outbox", 0), d.outbox("damaged", 0))
	d.flip("damaged"+firstSegment, "order 1", 1, -1)
	got := d.holdfast("store", "inspect", "outbox", "--messages") + d.holdfast("store", "verify", "outbox") +
		d.holdfast("store", "inspect", "damaged") + d.holdfast("store", "verify", "damaged") +
		d.holdfast("store", "inspect", "outbox", "--messages", "--json") + d.holdfast("store", "verify", "damaged", "--json")
	open := newTestDir(t)
	inUse := open.outbox("open", -1) // it does not change its files during the test
	golden(t, "store_file", got+open.holdfast("store", "inspect", "open"))
	open.close(inUse)
}

func TestBoltStores(t *testing.T) {
	d := newTestDir(t)
	db, err := bbolt.Open(d.path("app.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.fill(out)
	marks, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := marks.OpenSubscription("fresh", bookmarkstore.Query{Topic: "fills", Filter: "/px > 3"}); err != nil {
		t.Fatal(err)
	}
	sub, err := marks.OpenSubscription("orders", bookmarkstore.Query{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for s := uint64(1); s < 6; s++ {
		sub.Receive(bookmarkstore.Bookmark{Publisher: 7, Sequence: s})
	}
	for _, s := range []uint64{1, 2, 4, 5} {
		if err := sub.Discard(bookmarkstore.Bookmark{Publisher: 7, Sequence: s}); err != nil {
			t.Fatal(err)
		}
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("the application's own"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.close(out, marks)
	inUse := d.holdfast("store", "inspect", "app.db")
	d.close(db)
	golden(t, "store_bolt", d.holdfast("store", "inspect", "app.db", "--messages")+d.holdfast("store", "verify", "app.db")+
		d.holdfast("store", "inspect", "app.db", "--json")+inUse)
}

// Each mistake of a user gets an error that names the mistake and gives advice.
func TestWrongPaths(t *testing.T) {
	d := newTestDir(t)
	d.journal("journal", testRecords(1)...)
	d.close(d.outbox("outbox", 0))
	for name, text := range map[string]string{"text": strings.Repeat("no database\n", 1000), "empty": ""} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(d.path("bare"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.appDB("app.db")
	whole, err := os.ReadFile(d.path("app.db"))
	if err == nil {
		err = os.WriteFile(d.path("cut.db"), whole[:8<<10], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.change("own.db", func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("own"))
		return err
	})
	several := d.outbox("several", 0)
	if _, err := several.Append(t.Context(), &pubstore.Message{Topic: "fills"}); err != nil {
		t.Fatal(err)
	}
	lines := d.outbox("lines", 0)
	d.close(several, lines)
	running := d.open("running")
	var got strings.Builder
	for _, args := range [][]string{
		{"journal", "verify", "nowhere"}, {"journal", "verify", "text"}, {"journal", "verify", "bare"},
		{"journal", "verify", "outbox"}, {"journal", "verify", "running"},
		{"journal", "dump", "journal", "--from=yesterday"}, {"journal", "dump", "journal", "--topic=("},
		{"journal", "compare", "journal", "nowhere"},
		{"store", "inspect", "nowhere"}, {"store", "inspect", "text"}, {"store", "inspect", "empty"}, {"store", "inspect", "bare"},
		{"store", "verify", "journal"}, {"store", "verify", "journal" + firstSegment},
		{"store"}, {"journal", "verify"}, {"journal", "mend"},
		{"store", "inspect", "app.db/outbox"}, {"store", "inspect", "cut.db"}, {"store", "inspect", "own.db"},
		{"store", "export", "app.db"}, {"store", "export", "app.db", "--bucket=inbox"}, {"store", "export", "outbox", "--bucket=outbox"},
		{"store", "export", "app.db", "--bucket=outbox", "--publisher=7"}, {"store", "export", "app.db", "--bucket=marks", "--publisher=7"},
		{"store", "export", "outbox", "--format=lines"}, {"store", "export", "several", "--format=lines"},
		{"store", "export", "outbox", "--format=csv"}, {"store", "export", "outbox", "--output", "text"},
		{"store", "export", "outbox", "--output", "nowhere/file"},
		{"store", "repair", "nowhere"}, {"store", "repair", "text"}, {"store", "repair", "bare"}, {"store", "repair", "journal"},
		{"store", "repair", "cut.db"}, {"store", "repair", "running"}, {"store", "repair"},
	} {
		got.WriteString(d.holdfast(args...))
	}
	for _, args := range [][]string{
		{"status"}, {"status", "8085"}, {"status", "localhost:"}, {"status", "tcp://127.0.0.1:9007/amps/json"}, {"status", "ftp://a:8085"},
		{"status", "http://a:8085/metrics"}, {"status", "a:1", "--brief", "--json"}, {"status", "a:1", "a:1"}, {"status", "a:1", "--watch", "2s"},
		{"status", "a:1", "--watch=fast"}, {"status", "a:1", "--timeout=0"}, {"status", "127.0.0.1:1", "--timeout=1s"},
		{"completion"}, {"completion", "tcsh"}, {"no-such"},
	} {
		got.WriteString(d.runLiteral(args...))
	}
	d.close(running)
	golden(t, "wrong", got.String())
}

// The command ends with one of its exit codes for any damage to a database.
func TestDamagedDatabases(t *testing.T) {
	d := newTestDir(t)
	s, err := pubstore.OpenBolt(d.path("good.db"), pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.fill(s)
	d.close(s)
	good, err := os.ReadFile(d.path("good.db"))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	codes := make(map[int]int)
	for range 300 {
		b := bytes.Clone(good)
		for range 1 + rnd.IntN(20) {
			page := rnd.IntN(len(b)/os.Getpagesize()) * os.Getpagesize()
			b[page+rnd.IntN(64)] = byte(rnd.Uint32())
		}
		if rnd.IntN(4) == 0 {
			b = b[:rnd.IntN(len(b))]
		}
		if err := os.WriteFile(d.path("bad.db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run([]string{"store", "inspect", "--messages", d.path("bad.db")}, &out, &out)
		codes[code]++
		if code < exitOK || code > exitFailed && code != exitNewer || out.Len() == 0 { // a damaged version number may look like a later version
			t.Fatalf("exit %d: %s", code, out.String())
		}
	}
	t.Logf("exit codes: %v", codes)
}

func TestVersion(t *testing.T) {
	var out, wrong strings.Builder
	if code := run([]string{"--version"}, &out, &wrong); code != exitOK || out.String() != buildinfo.Version()+"\n" || wrong.Len() > 0 {
		t.Errorf("exit code %d, %q, %q", code, out.String(), wrong.String())
	}
}
