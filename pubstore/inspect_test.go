package pubstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// useUntilCrash calls most methods of a store until its disk fails.
func useUntilCrash(fs *memfs.FS) {
	s, err := pubstore.OpenFile("outbox", testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 700}, fs))
	if err != nil {
		return
	}
	defer s.Close()
	life := s.Lives()[0].ID
	_, err = s.Logon("gateway")
	for i := 1; i < 12 && err == nil; i++ {
		_, err = s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: fmt.Append(nil, i)})
		switch i {
		case 4:
			err = errors.Join(err, s.Discard(life, 2))
		case 6:
			err = errors.Join(err, s.Reject(life, 5))
		case 9:
			err = errors.Join(err, s.Renew())
		}
	}
}

// After any crash, InspectFile reports the state that the store has after OpenFile.
func TestInspectFileAgreesWithOpenFile(t *testing.T) {
	for n := 1; ; n++ {
		fs := memfs.New()
		fs.CrashAt(n)
		useUntilCrash(fs)
		crashed := fs.Crashed() // or at its end
		for _, mode := range memfs.Modes(uint64(n)) {
			for _, bootID := range []string{"first", "second"} {
				checkInspection(t, fs.Crash(mode), bootID, fmt.Sprintf("crash before change %d, %s, boot %s", n, mode.Name, bootID))
			}
		}
		if !crashed || t.Failed() {
			return
		}
	}
}

func checkInspection(t *testing.T, fs *memfs.FS, bootID, name string) {
	t.Helper()
	o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot(bootID), SegmentBytes: 700}, fs)
	var bodies []string
	before, ops := fs.String(), fs.Changes()
	inspection, inspectErr := pubstore.InspectFile("outbox", o, func(_ string, m *pubstore.Message) error {
		bodies = append(bodies, string(m.Body))
		return nil
	})
	if fs.String() != before || fs.Changes() != ops {
		t.Errorf("%s: InspectFile has changed the disk", name)
	}
	s, err := pubstore.OpenFile("outbox", o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer s.Close()
	if errors.Is(inspectErr, pubstore.ErrNotStore) || errors.Is(inspectErr, os.ErrNotExist) {
		return // the store had not been created yet
	}
	lives, kept := s.Lives(), s.Usage().Messages
	if inspection.Renews {
		lives = lives[:len(lives)-1] // the new life; an older life without messages was pruned
		inspection.Lives = slices.DeleteFunc(inspection.Lives, func(l pubstore.InspectedLife) bool { return l.Kept == 0 })
	}
	same := slices.EqualFunc(lives, inspection.Lives, func(l pubstore.Life, i pubstore.InspectedLife) bool { return l == i.Life })
	if inspectErr != nil || len(inspection.Damage) > 0 || !same || len(bodies) != kept {
		t.Errorf("%s: inspected %+v, %q, %v; opened %+v with %d messages", name, inspection, bodies, inspectErr, lives, kept)
	}
}

// InspectFile names a damaged message and counts the readable ones.
func TestInspectFileDamaged(t *testing.T) {
	fs := memfs.New()
	useUntilCrash(fs)
	good, err := pubstore.InspectFile("outbox", testdoor.OnDisk(pubstore.FileOptions{}, fs), nil)
	if err != nil || len(good.Damage) > 0 {
		t.Fatal(good, err)
	}
	name := fs.Names()[0]
	b, err := fs.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(b, 'o') // of a topic, or of the magic in the head before it
	for i := at; i < len(b)-6; i++ {
		if string(b[i:i+6]) == "orders" {
			fs.Flip(name, int64(i))
		}
	}
	found, err := pubstore.InspectFile("outbox", testdoor.OnDisk(pubstore.FileOptions{}, fs), nil)
	if err != nil || len(found.Damage) == 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := pubstore.OpenFile("outbox", testdoor.OnDisk(pubstore.FileOptions{}, fs)); !errors.As(err, new(*pubstore.DamagedError)) {
		t.Errorf("open: %v", err)
	}
}
