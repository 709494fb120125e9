package crashimages

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A Model is a store together with its promises, in one process after the other. An error
// that is a [Violation] means a broken promise; others are of the disk.
type Model interface {
	// Open opens the store on the disk that the process before left, which
	// was killed, or lost power with its machine.
	Open(disk *memfs.FS, killed bool) error
	// Check compares the content of the store with its promises, and makes the content
	// the new promises.
	Check() error
	// Use does some of everything until the disk fails.
	Use(steps int) error
	// Close closes the store in good order.
	Close() error
	// CheckFailed checks that a store that was opened says for good that its disk has failed.
	CheckFailed() error
	// Kill ends the process.
	Kill()
	// Clone returns a model with the same promises that will make other calls.
	Clone(seed uint64) Model
}

// A Subject is a kind of store.
type Subject struct {
	Name string
	New  func(seed uint64) Model
}

// A Violation is a promise that was broken.
type Violation struct{ text string }

func (v *Violation) Error() string { return v.text }

// Violatef returns a Violation.
func Violatef(format string, args ...any) error {
	return &Violation{fmt.Sprintf(format, args...)}
}

// Count is the work done by a campaign.
type Count struct {
	Images      int // built at a change of the first life, recovered, checked and used
	SecondLives int // left by a life on one of these, recovered, checked and used
	Recoveries  int // of these, left by a recovery that died
}

// Add adds another count.
func (c *Count) Add(o Count) {
	c.Images += o.Images
	c.SecondLives += o.SecondLives
	c.Recoveries += o.Recoveries
}

func (c Count) String() string {
	return fmt.Sprintf("images: %d images, %d second lives, %d recoveries crashed, 0 violations", c.Images, c.SecondLives, c.Recoveries)
}

const (
	scriptSteps    = 24 // of the first life
	useSteps       = 3  // of those after it
	recoveryEvery  = 5  // the recovery of one image in recoveryEvery dies as well
	recoverChanges = 14 // at most, about
)

// A Campaign judges the images of one script of a subject.
type Campaign struct {
	Subject     Subject
	Seed        uint64
	SampleEvery int // if not 0, one image of a power cut in SampleEvery is judged
	Count       Count
}

// CrashBefore runs the script until the disk dies before its nth change, and judges
// every image of that moment. It reports false if the script came to its end.
func (c *Campaign) CrashBefore(n int) (more bool, err error) {
	disk := memfs.New()
	disk.CrashAt(n)
	first := c.Subject.New(c.Seed)
	err = runScript(first, disk)
	more = disk.Crashed()
	kill(first, disk)
	where := fmt.Sprintf("%s, seed %d, crash before change %d", c.Subject.Name, c.Seed, n)
	if err != nil && (!more || isViolation(err)) {
		return false, fmt.Errorf("%s: %w", where, err)
	}
	return more, c.judgeAll(first, disk, n, where)
}

// judgeAll judges every image of a disk that has died.
func (c *Campaign) judgeAll(first Model, disk *memfs.FS, n int, where string) error {
	i := 0
	for image := range disk.Images() {
		if i++; c.SampleEvery > 0 && image.Kind != memfs.Kill && (i+n)%c.SampleEvery > 0 {
			continue
		}
		if err := c.judge(first, image, uint64(n)<<32|uint64(i)); err != nil {
			return fmt.Errorf("%s, image %d (%s): %w", where, i, image, err)
		}
	}
	return nil
}

// A Fault is a way for a disk to fail.
type Fault struct {
	Name string
	Fail func(disk *memfs.FS, n int)
}

const (
	shortWrite = "short write"
	noSpace    = "ENOSPC"
)

// Faults are the ways in which the nth change of a disk may fail, or the nth write for a
// short write. Changes that a failed sync left out are gone for good.
var Faults = []Fault{
	{"EIO", func(disk *memfs.FS, n int) { disk.FailNth(n, syscall.EIO) }},
	{noSpace, func(disk *memfs.FS, n int) { disk.FailNth(n, syscall.ENOSPC) }},
	{"ENOSPC from then on", func(disk *memfs.FS, n int) { disk.FailFrom(n, syscall.ENOSPC) }},
	{shortWrite, func(disk *memfs.FS, n int) { disk.ShortWriteNth(n, nil) }},
}

// FailChange runs the script on a disk that fails once: the store must say so, and
// for good, unless it lacked space only. Then it judges every image that the death of its process or machine
// may leave. It reports false if the script came to its end without the fault.
func (c *Campaign) FailChange(n int, f Fault) (more bool, err error) {
	disk := memfs.New()
	f.Fail(disk, n)
	first := c.Subject.New(c.Seed)
	err = runScript(first, disk)
	where := fmt.Sprintf("%s, seed %d, change %d failed with %s", c.Subject.Name, c.Seed, n, f.Name)
	if err == nil && disk.Changes() <= n || f.Name == shortWrite && err == nil {
		first.Kill()
		return false, nil
	}
	switch {
	case err == nil && f.Name == noSpace: // for a whole segment, or for the reserve: the store continues with less
	case err == nil:
		err = Violatef("the fault went unnoticed")
	case !isViolation(err):
		err = first.CheckFailed()
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", where, err)
	}
	kill(first, disk)
	return true, c.judgeAll(first, disk, n, where)
}

// FailRead kills the process at the end of the script and has the next one's
// nth read of the disk fail while it opens: it says so, takes nothing for torn
// or gone, and the one after it finds everything.
func (c *Campaign) FailRead(n int) (more bool, err error) {
	disk := memfs.New()
	first := c.Subject.New(c.Seed)
	if err = first.Open(disk, true); err == nil {
		err = first.Use(scriptSteps)
	}
	kill(first, disk)
	if err != nil {
		return false, fmt.Errorf("%s, seed %d: %w", c.Subject.Name, c.Seed, err)
	}
	next, left := first.Clone(1), disk.Crash(memfs.KeepAll)
	left.FailReadNth(n, syscall.EIO)
	err = next.Open(left, true)
	more = left.Reads() >= n
	left.FailReadNth(0, nil) // none from here on
	if err != nil && more && errors.Is(err, syscall.EIO) {
		next.Kill()
		next = first.Clone(1)
		err = next.Open(left, true)
	}
	if err == nil {
		err = next.Check()
	}
	next.Kill()
	if err != nil {
		return false, fmt.Errorf("%s, seed %d, read %d failed: %w", c.Subject.Name, c.Seed, n, err)
	}
	return more, nil
}

// runScript is the first life: open, use, close.
func runScript(l Model, disk *memfs.FS) error {
	if err := l.Open(disk, true); err != nil {
		return err
	}
	if err := l.Use(scriptSteps); err != nil {
		return err
	}
	return l.Close()
}

func isViolation(err error) bool {
	_, ok := errors.AsType[*Violation](err)
	return ok
}

// judge lets a model recover from an image and use it, and another one recover from the
// result; for every few images, one dies while it recovers.
func (c *Campaign) judge(first Model, image memfs.Image, draw uint64) error {
	r := rand.New(rand.NewPCG(c.Seed, draw))
	killed := image.Kind == memfs.Kill
	c.Count.Images++
	next, disk := first.Clone(r.Uint64()), image.FS()
	err := next.Open(disk, killed)
	if err == nil {
		err = next.Check()
	}
	if err == nil {
		disk.CrashAt(1 + r.IntN(recoverChanges))
		if err = next.Use(useSteps); err == nil {
			err = next.Close()
		}
	}
	died := disk.Crashed()
	kill(next, disk)
	if err := c.judgeLeft(next, disk, died, err, r); err != nil {
		return err
	}
	if r.IntN(recoveryEvery) > 0 {
		return nil
	}
	next, disk = first.Clone(r.Uint64()), image.FS()
	disk.CrashAt(1 + r.IntN(recoverChanges))
	err = next.Open(disk, killed)
	if died = disk.Crashed(); died {
		c.Count.Recoveries++
	}
	kill(next, disk)
	return c.judgeLeft(next, disk, died, err, r)
}

// kill ends a life with its machine, so that nothing reaches the disk any more.
func kill(l Model, disk *memfs.FS) {
	disk.Crash(memfs.Durable)
	l.Kill()
}

// judgeLeft judges the disk of a process that ended with err. died: the disk died with
// it.
func (c *Campaign) judgeLeft(l Model, disk *memfs.FS, died bool, err error, r *rand.Rand) error {
	if err != nil && (!died || isViolation(err)) {
		return fmt.Errorf("life on the image: %w", err)
	}
	modes := memfs.Modes(r.Uint64())
	mode := modes[r.IntN(len(modes))]
	left := disk.Crash(mode)
	c.Count.SecondLives++
	last := l.Clone(r.Uint64())
	defer last.Kill()
	if err = last.Open(left, mode == memfs.KeepAll); err == nil {
		err = last.Check()
	}
	if err == nil {
		err = last.Use(useSteps)
	}
	if err == nil {
		err = last.Close()
	}
	if err != nil {
		return fmt.Errorf("second life, after %s: %w", mode.Name, err)
	}
	return nil
}
