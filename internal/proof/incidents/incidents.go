package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// An incident is a fault of a pair, with the alerts that it must raise.
type incident struct {
	name   string
	alerts []string // as alert@instance, or alert if it is about the pair; all that fire at any time
	again  []string // those that still fire at the end

	traffic traffic
	config  func(dir string) (string, error)          // more configuration of both instances; nil: none
	setUp   func(ctx context.Context, w *world) error // before the recording; nil: nothing
	run     func(ctx context.Context, w *world) error // while it is recorded
}

// calm is the time before the fault.
const calm = 15 * time.Second

// A recording is marked with the time of the fault and that of its end.
var incidents = []incident{
	{
		name:    "peer-killed",
		alerts:  []string{"HoldfastInstanceDown@b", "HoldfastLinkDown@a", "HoldfastSingle@a", "HoldfastRestarted@b"},
		again:   []string{"HoldfastRestarted@b"},
		traffic: traffic{rate: 100, size: 500},
		run: func(ctx context.Context, w *world) error {
			return w.during(ctx, time.Minute, w.pair[1].Kill, func() error { return w.pair[1].Start(ctx) })
		},
	},
	{
		name:    "disk-filling",
		alerts:  []string{"HoldfastDiskFilling@a", "HoldfastDiskFilling@b", "HoldfastDiskFull@a", "HoldfastDiskFull@b"},
		again:   []string{"HoldfastDiskFilling@a", "HoldfastDiskFilling@b"}, // the pair itself goes on to fill what is left
		traffic: traffic{rate: 100, size: 500},
		config:  leaveSpace,
		run: func(ctx context.Context, w *world) error {
			return w.during(ctx, 130*time.Second, func() error { w.fill(ctx, fillRate); return nil }, w.empty)
		},
	},
	{
		name:    "link-cut",
		alerts:  []string{"HoldfastLinkDown@a", "HoldfastLinkDown@b", "HoldfastSingle@a", "HoldfastSingle@b", "HoldfastBothSingle"},
		traffic: traffic{rate: 100, size: 500},
		run: func(ctx context.Context, w *world) error {
			return w.during(ctx, time.Minute, func() error { w.setCut(true); return nil }, func() error { w.setCut(false); return nil })
		},
	},
	{
		name:    "slow-subscriber",
		alerts:  []string{"HoldfastSubscriberLag@a"},
		traffic: traffic{rate: 150, size: 10_000},
		run: func(ctx context.Context, w *world) error {
			return w.during(ctx, 90*time.Second, func() error { w.slow.Store(true); return nil }, func() error { w.slow.Store(false); return nil })
		},
	},
	{
		name:    "publish-gap",
		alerts:  []string{"HoldfastPublishGap@a", "HoldfastPublishGap@b", "HoldfastRestarted@a", "HoldfastRestarted@b", "HoldfastJournalWentBack@a", "HoldfastJournalWentBack@b"},
		again:   []string{"HoldfastPublishGap@a", "HoldfastPublishGap@b", "HoldfastRestarted@a", "HoldfastRestarted@b", "HoldfastJournalWentBack@a", "HoldfastJournalWentBack@b"},
		traffic: traffic{rate: 100, size: 500},
		setUp:   backUp,
		run: func(ctx context.Context, w *world) error {
			return w.during(ctx, 45*time.Second, func() error { return restore(ctx, w) }, func() error { return nil })
		},
	},
}

const (
	spaceLeft = 400 << 20 // bytes until publishes are refused
	fillRate  = 4 << 20   // bytes a second
)

// leaveSpace configures the pair so that publishes are refused once spaceLeft bytes are used.
func leaveSpace(dir string) (string, error) {
	free, err := freeSpace(dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("log: {min_free: %d, segment: 8MiB}\n", free-spaceLeft), nil
}

// backUp copies both journals while the instances are stopped.
func backUp(ctx context.Context, w *world) error {
	return w.whileStopped(ctx, (*pair.Instance).Stop, func(in *pair.Instance) error {
		return copyAll(in.Journal(), in.Journal()+".backup")
	})
}

// restore replaces both journals by the copies.
func restore(ctx context.Context, w *world) error {
	return w.whileStopped(ctx, (*pair.Instance).Kill, func(in *pair.Instance) error {
		if err := os.RemoveAll(in.Journal()); err != nil {
			return err
		}
		return copyAll(in.Journal()+".backup", in.Journal())
	})
}

// copyAll copies a file or a directory with all that it has.
func copyAll(from, to string) error {
	out, err := exec.Command("cp", "-a", filepath.Clean(from), filepath.Clean(to)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}
