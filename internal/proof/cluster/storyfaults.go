package cluster

import (
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A storyFault is a kind of fault that can happen at any step of a story. do
// returns why it can't, if it can't.
type storyFault struct {
	name   string
	paired bool // happens in pairs, too
	inject func(s *story) (reason string)
}

// How long a fault lasts: shorter than any timeout, longer than a downgrade takes, and
// longer than it takes to notice silence.
const (
	shortTime  = 100 * time.Millisecond
	mediumTime = 600 * time.Millisecond
	longTime   = 2600 * time.Millisecond
)

// storyFaults are all kinds.
var storyFaults = slices.Concat(
	machineFaults(0, "a"), networkFaults("a", "b"),
	machineFaults(1, "b"), networkFaults("b", "a"),
	otherFaults(),
)

// machineFaults returns the kinds that happen to an instance's process, machine and disk.
func machineFaults(n int, name string) []storyFault {
	crash := func(mode memfs.Mode, away time.Duration) func(s *story) string {
		return func(s *story) string { return s.crashInstance(n, mode, away) }
	}
	arm := func(fail func(*memfs.FS)) func(s *story) string {
		return func(s *story) string { return s.armDisk(n, fail) }
	}
	return []storyFault{
		{"kill " + name, true, crash(memfs.KeepAll, mediumTime)},
		{"power cut of " + name + ", durable", true, crash(memfs.Durable, shortTime)},
		{"power cut of " + name + ", torn", false, crash(memfs.Torn(1), mediumTime)},
		{"power cut of " + name + ", hole", false, crash(memfs.Hole(1), shortTime)},
		{"power cut of " + name + ", zero extended", false, crash(memfs.ZeroExtended(1), mediumTime)},
		{"power cut of " + name + ", garbage", false, crash(memfs.Garbage(1), shortTime)},
		{"kill " + name + ", then power cut", true, func(s *story) string { return s.crashTwice(n) }},
		{"wipe " + name, true, func(s *story) string { return s.wipeInstance(n) }},
		{"fsync error at " + name, true, arm(func(fs *memfs.FS) { fs.FailSync(errDisk) })},
		{"disk full at " + name, false, arm(func(fs *memfs.FS) { fs.ShortWriteNth(1, syscall.ENOSPC) })},
		{"power cut inside a write of " + name, true, arm(func(fs *memfs.FS) { fs.CrashAt(2) })},
		{"slow disk at " + name, true, func(s *story) string { return s.slowInstanceDisk(n) }},
		{"freeze " + name, true, freeze(name)},
		{"shut down " + name, false, func(s *story) string { return s.shutDown(n) }},
	}
}

// networkFaults returns the kinds that happen to an instance's connections.
func networkFaults(name, other string) []storyFault {
	return []storyFault{
		{"cut from " + name + " to " + other, true, stall(name, other)},
		{"reset between the publisher and " + name, true, resetBetween("pub", name)},
		{"reset between the subscriber and " + name, false, resetBetween("again", name)},
		{"cut between the publisher and " + name, true, cutBetween("pub", name, longTime)},
		{"cut between the subscriber and " + name, name == "b", cutBetween("again", name, longTime)},
		{"stall from the publisher to " + name, true, stall("pub", name)},
		{"stall from " + name + " to the publisher", name == "a", stall(name, "pub")},
		{"stall from " + name + " to the subscriber", false, stall(name, "again")},
	}
}

// otherFaults returns the kinds that happen to both instances, the link and the applications.
func otherFaults() []storyFault {
	crash := func(mode memfs.Mode) func(s *story) string {
		return func(s *story) string { return s.crashPublisher(mode) }
	}
	return []storyFault{
		{"power cut of both", true, (*story).crashBoth},
		{"cut of the link", true, cutBetween("a", "b", shortTime)},
		{"long cut of the link", true, cutBetween("a", "b", longTime)},
		{"reset of the link", true, resetBetween("a", "b")},
		{"kill the publisher", true, crash(memfs.KeepAll)},
		{"power cut of the publisher, durable", true, crash(memfs.Durable)},
		{"power cut of the publisher, torn", false, crash(memfs.Torn(1))},
		{"power cut of the publisher, garbage", false, crash(memfs.Garbage(1))},
		{"freeze the publisher", false, freeze("pub")},
		{"kill the subscriber", true, (*story).crashSubscriber},
		{"freeze the subscriber", false, freeze("again")},
	}
}

const reasonDown = "it is down"

func (s *story) crashInstance(n int, mode memfs.Mode, away time.Duration) string {
	if !s.crash(s.instances[n], mode, away) {
		return reasonDown
	}
	return ""
}

func (s *story) crashBoth() string {
	a, b := s.crashInstance(0, memfs.Durable, shortTime), s.crashInstance(1, memfs.Durable, shortTime)
	if a == "" || b == "" {
		return ""
	}
	return a
}

// crashTwice makes the records that were read back from the page cache get lost after
// all.
func (s *story) crashTwice(n int) string {
	i := s.instances[n]
	if i.Server == nil {
		return reasonDown
	}
	i.crash(memfs.KeepAll)
	i.Start()
	s.later(2*time.Millisecond, func() {
		if i.Server != nil {
			i.crash(memfs.Durable)
			s.later(shortTime, i.restore)
		}
	})
	return ""
}

// wipeInstance gives an instance an empty disk. If the other one lacks messages that a
// store has let go of, both disks of a message would be gone.
func (s *story) wipeInstance(n int) string {
	i, other := s.instances[n], s.instances[1-n]
	if !s.mayLose(i, other) {
		return "the other disk lacks what was let go"
	}
	s.loseDisk(i, other, func() {
		i.Wipe()
		i.FS.SetSyncDelay(i.syncTime)
	})
	s.later(mediumTime, i.restore)
	return ""
}

// armDisk has an instance's disk fail soon.
func (s *story) armDisk(n int, fail func(*memfs.FS)) string {
	i := s.instances[n]
	if i.Server == nil || i.armed {
		return "it is down, or its disk is about to fail"
	}
	i.armed = true
	fail(i.FS)
	return ""
}

func (s *story) slowInstanceDisk(n int) string {
	i := s.instances[n]
	i.FS.SetSyncDelay(60 * time.Millisecond)
	s.later(mediumTime, func() { i.FS.SetSyncDelay(i.syncTime) })
	return ""
}

func (s *story) shutDown(n int) string {
	if i := s.instances[n]; i.Server == nil || i.armed {
		return reasonDown
	}
	s.stopInstance(n)
	s.later(mediumTime, s.instances[n].restore)
	return ""
}

func freeze(host string) func(s *story) string {
	return func(s *story) string {
		s.randomRun.pause(host, longTime)
		return ""
	}
}

func cutBetween(one, other string, away time.Duration) func(s *story) string {
	return func(s *story) string {
		s.Cut(one, other)
		s.noteUnseen(one, other, away)
		s.later(away, func() { s.Heal(one, other) })
		return ""
	}
}

// stall holds all bytes sent one way; they arrive late.
func stall(from, to string) func(s *story) string {
	return func(s *story) string {
		s.Net.CutOneWay(from, to)
		s.noteUnseen(from, to, longTime)
		s.later(longTime, func() { s.Heal(from, to) })
		return ""
	}
}

func resetBetween(one, other string) func(s *story) string {
	return func(s *story) string {
		s.Net.Reset(one, other)
		return ""
	}
}

func (s *story) crashPublisher(mode memfs.Mode) string {
	if len(s.publishers) == 0 || !s.publishers[0].running {
		return reasonDown
	}
	s.publishers[0].kill(mode)
	s.later(shortTime, s.publishers[0].restart)
	return ""
}

func (s *story) crashSubscriber() string {
	if len(s.subscribers) == 0 || !s.subscribers[0].running {
		return reasonDown
	}
	s.subscribers[0].kill()
	s.later(shortTime, s.subscribers[0].restart)
	return ""
}
