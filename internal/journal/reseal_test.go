package journal_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A process is killed after it has noted the age of the log, and before the next batch. The
// segment that is sealed when the log is opened again gets the age of that note, not of an
// earlier one. So no message is removed too early (R2).
func TestAgeOfWhatIsSealedAtOpen(t *testing.T) {
	c, disk := newTwoClocks(), memfs.New()
	use := func(o *journal.Options) { c.use(o); o.Stepped = true }
	j := mustOpen(t, disk, use)
	fill(t, j, 1, 1, 300)
	c.pass(3 * day)
	fill(t, j, 2, 1, 2)
	trim(t, j, week) // notes the age
	mustSync(t, j)   // the next batch would note that the note is durable
	if err := j.Kill(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, disk.Crash(memfs.KeepAll), use)
	defer func() { verifyAndClose(t, j) }()
	c.pass(5 * day)
	if trim(t, j, week); j.Floors()[1] < 200 || j.Floors()[2] != 0 {
		t.Errorf("after 8 days of publisher 1 and 5 of publisher 2, floors are %v", j.Floors())
	}
	c.pass(3 * day)
	if trim(t, j, week); j.Floors()[2] != 2 {
		t.Errorf("after 11 days of publisher 1 and 8 of publisher 2, floors are %v", j.Floors())
	}
}
