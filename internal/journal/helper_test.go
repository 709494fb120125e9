package journal_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "data/journal"

// testingT is the common part of testing.TB and *rapid.T.
type testingT interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// mustOpen opens a journal with small segments.
func mustOpen(t testingT, disk seglog.FS, change ...func(*journal.Options)) *journal.Journal {
	t.Helper()
	o := journal.Options{FS: disk, Dir: dir, SegmentBytes: 4 << 10}
	for _, c := range change {
		c(&o)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// openForTest opens a journal, which is verified and closed at the end of the test.
func openForTest(t testing.TB, disk seglog.FS, change ...func(*journal.Options)) *journal.Journal {
	t.Helper()
	j := mustOpen(t, disk, change...)
	t.Cleanup(func() { verifyAndClose(t, j) })
	return j
}

// verifyAndClose verifies and closes a journal, unless it is closed or has failed.
func verifyAndClose(t testingT, j *journal.Journal) {
	t.Helper()
	if _, err := journals.VerifyOpen(j, j.Disk(), dir); err != nil && !errors.Is(err, journal.ErrClosed) && j.Err() == nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil && !errors.Is(err, journal.ErrClosed) && j.Err() == nil {
		t.Fatal(err)
	}
}

func message(publisher, sequence uint64, body string) *journal.Record {
	r := &journal.Record{Kind: journal.Message, Publisher: publisher, Sequence: sequence, Topic: []byte("t"), Body: []byte(body)}
	if sequence > 0 {
		r.Prev = sequence - 1
	}
	return r
}

// mustAppend appends a record and checks its verdict.
func mustAppend(t testingT, j *journal.Journal, r *journal.Record, want journal.Verdict) {
	t.Helper()
	if v, err := j.Append(r); err != nil || v != want {
		t.Fatalf("append %v %d|%d with predecessor %d: verdict %d, want %d, error %v", r.Kind, r.Publisher, r.Sequence, r.Prev, v, want, err)
	}
}

// fill appends the messages of a publisher between two numbers, both included.
func fill(t testingT, j *journal.Journal, publisher, from, to uint64) {
	t.Helper()
	for s := from; s <= to; s++ {
		mustAppend(t, j, message(publisher, s, fmt.Sprintf("%d|%d", publisher, s)), journal.Accepted)
	}
}

func mustSync(t testingT, j *journal.Journal) {
	t.Helper()
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
}

// state returns the state of a publisher, which may be unknown.
func state(j *journal.Journal, publisher uint64) journal.PublisherState {
	s, _ := j.State(publisher)
	return s
}

// recordText formats a record for a comparison.
func recordText(r *journal.Record) string {
	return fmt.Sprintf("%v %d|%d<%d %s %s%s%s", r.Kind, r.Publisher, r.Sequence, r.Prev, r.Topic, r.Body, r.Reason, r.User)
}

// readAvailable returns the records that a follower can read now.
func readAvailable(t testingT, f *journal.Follower) []string {
	t.Helper()
	var all []string
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, recordText(&r))
	}
}

// A manualClock stands still until it is moved.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func newManualClock() *manualClock { return &manualClock{now: time.UnixMicro(1e15)} }

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A gatedFS is a disk with a gate. While the gate is shut, syncs wait.
type gatedFS struct {
	*memfs.FS
	entered chan struct{} // a sync is waiting

	mu   sync.Mutex
	pass chan struct{} // nil: the gate is open
}

func newGatedFS(disk *memfs.FS) *gatedFS {
	return &gatedFS{FS: disk, entered: make(chan struct{}, 1000)}
}

func (g *gatedFS) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass = make(chan struct{})
}

func (g *gatedFS) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.pass)
	g.pass = nil
}

// next lets the waiting sync pass and shuts the gate behind it.
func (g *gatedFS) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.pass)
	g.pass = make(chan struct{})
}

func (g *gatedFS) wait() {
	g.mu.Lock()
	pass := g.pass
	g.mu.Unlock()
	if pass != nil {
		g.entered <- struct{}{}
		<-pass
	}
}

func (g *gatedFS) OpenFile(name string, flag int) (seglog.File, error) {
	f, err := g.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return gatedFile{f, g}, nil
}

type gatedFile struct {
	seglog.File
	g *gatedFS
}

func (f gatedFile) Sync() error {
	f.g.wait()
	return f.File.Sync()
}

// durableReports keeps the reports of OnDurable.
type durableReports struct {
	mu      sync.Mutex
	durable map[uint64]uint64
	calls   [][]journal.Advance
}

func (l *durableReports) use(o *journal.Options) {
	l.durable = make(map[uint64]uint64)
	o.OnDurable = func(advances []journal.Advance, _ bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls = append(l.calls, slices.Clone(advances))
		for _, m := range advances {
			l.durable[m.Publisher] = max(l.durable[m.Publisher], m.Sequence)
		}
	}
}

func (l *durableReports) get(publisher uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable[publisher]
}

// raise adds the durable sequence that the journal has at its start.
func (l *durableReports) raise(publisher, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable[publisher] = max(l.durable[publisher], sequence)
}

// samples has records of every kind.
var samples = []journal.Record{
	{Kind: journal.Message, Publisher: 7, Sequence: 1, Topic: []byte("orders"), Body: []byte(`{"id":1}`)},
	{Kind: journal.Message, Publisher: math.MaxUint64, Sequence: math.MaxInt64, Prev: math.MaxInt64 - 1, Topic: []byte("t"),
		Body: []byte("b"), User: []byte("u"), CorrelationID: []byte("x"), SOWKey: []byte("k"), Expiration: 9, Delta: true},
	{Kind: journal.Tombstone, Publisher: 7, Sequence: 2, Prev: 1, Topic: []byte("secret"), Reason: []byte("not entitled")},
	{Kind: journal.Empty, Publisher: 7, Sequence: 3, Prev: 2},
	{Kind: journal.Gone, Publisher: 7, Sequence: 40, Prev: 30, RunningCRC: 0xdeadbeef},
	{Kind: journal.Gone, Publisher: 7, Sequence: 40, Prev: 3, Cause: journal.Lost, Reason: []byte("lost")},
	{Kind: journal.Message, Publisher: 8, Sequence: 1, Topic: []byte("t"), Check: bookmark.Check{1, 15: 2}},
	{Kind: journal.Elsewhere, Publisher: 7, Sequence: 50, Prev: 40},
}

func encode(t testing.TB, r journal.Record) []byte {
	t.Helper()
	raw, err := record.Append(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sameRecord compares the parts of two records that a link carries.
func sameRecord(a, b journal.Record) bool {
	for _, r := range []*journal.Record{&a, &b} {
		r.Position, r.Next, r.Time, r.Raw, r.Sum = 0, 0, 0, nil, 0
		for _, f := range []*[]byte{&r.Topic, &r.Body, &r.Reason, &r.User, &r.CorrelationID, &r.SOWKey} {
			*f = append([]byte{}, *f...)
		}
	}
	return reflect.DeepEqual(a, b)
}
