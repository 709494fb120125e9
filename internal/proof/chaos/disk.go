//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A disk is a directory that holds one instance's data: a file system of its
// own in a file, so that it can fill up and lose power, or, where no loop
// device is available, a plain directory.
type disk struct {
	dir    string // where images are
	mount  string // where the file system is
	images int    // made so far
	image  string // the one that is mounted
	plain  bool
}

// imageBytes is the size of a file system. Its file has holes, so it takes only the space
// that is written.
const imageBytes = 2 << 30

// newDisk makes an empty disk below dir.
func newDisk(dir string, plain bool) (*disk, error) {
	d := &disk{dir: dir, mount: filepath.Join(dir, "disk"), plain: plain}
	if err := os.MkdirAll(d.mount, 0o755); err != nil {
		return nil, err
	}
	if plain {
		return d, nil
	}
	return d, d.replace()
}

// replace mounts a new, empty file system. Nothing may be mounted.
func (d *disk) replace() error {
	image := d.nextImage()
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(imageBytes), f.Close()); err != nil {
		return err
	}
	// All tables are made now, so that the file system writes nothing by itself later.
	if err := runTool("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "16384", "-J", "size=16",
		"-E", "lazy_itable_init=0,nodiscard", image); err != nil {
		return err
	}
	return d.attach(image)
}

func (d *disk) nextImage() string {
	d.images++
	return filepath.Join(d.dir, fmt.Sprintf("disk-%d.img", d.images))
}

// attach mounts an image and removes the one before it.
func (d *disk) attach(image string) error {
	if err := runTool("mount", "-o", "loop,noatime", image, d.mount); err != nil {
		return err
	}
	if d.image != "" {
		os.Remove(d.image)
	}
	d.image = image
	return nil
}

// detach unmounts the file system, if one is mounted.
func (d *disk) detach() error {
	if d.plain {
		return nil
	}
	err := syscall.Unmount(d.mount, 0)
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", d.mount, err)
	}
	return nil
}

// snapshot copies the image: the data that has reached the device, without the page
// cache. Processes that use the disk must be stopped. A write of the kernel meanwhile
// would make the copy a mix of two moments, so the copy is repeated until nothing was
// written during it.
func (d *disk) snapshot() (image string, err error) {
	image = d.nextImage()
	for range 50 {
		before, err := d.deviceStats()
		if err != nil {
			return "", err
		}
		if err := runTool("cp", "--sparse=auto", "--reflink=never", d.image, image); err != nil {
			return "", err
		}
		after, err := d.deviceStats()
		if err != nil {
			return "", err
		}
		if before == after && before.inFlight == "0" {
			return image, nil
		}
	}
	return "", fmt.Errorf("the kernel kept writing to %s", d.image)
}

// deviceStats are the counters of a block device.
type deviceStats struct{ writes, flushes, inFlight string }

// deviceStats returns the counters of the disk's device.
func (d *disk) deviceStats() (deviceStats, error) {
	var st unix.Stat_t
	if err := unix.Stat(d.mount, &st); err != nil {
		return deviceStats{}, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return deviceStats{}, err
	}
	f := strings.Fields(string(text))
	if len(f) < 9 {
		return deviceStats{}, fmt.Errorf("the device of %s has unreadable statistics: %q", d.mount, text)
	}
	t := deviceStats{writes: f[4], inFlight: f[8]}
	if len(f) > 15 {
		t.flushes = f[15]
	}
	return t, nil
}

// swapImage mounts a snapshot in place of the file system.
func (d *disk) swapImage(image string) error {
	if err := d.detach(); err != nil {
		return err
	}
	return d.attach(image)
}

func (d *disk) filler() string { return filepath.Join(d.mount, "filler") }

// fill takes all the room that is left.
func (d *disk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	for step := int64(imageBytes); step >= 4096; {
		if err := unix.Fallocate(int(f.Fd()), 0, size, step); err == nil {
			size += step
		} else if !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("fill %s: %w", d.mount, err)
		} else {
			step /= 2
		}
	}
	return nil
}

// freeFilled frees the room that fill took.
func (d *disk) freeFilled() error { return os.Remove(d.filler()) }

func (d *disk) canary() string { return filepath.Join(d.mount, "canary") }

const canaryText = "not synced"

// leaveUnsynced writes a file that a power cut must lose.
func (d *disk) leaveUnsynced() error { return os.WriteFile(d.canary(), []byte(canaryText), 0o644) }

// checkUnsyncedLost checks that a power cut has lost it: that it was one.
func (d *disk) checkUnsyncedLost() error {
	text, err := os.ReadFile(d.canary())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if string(text) == canaryText {
		return errors.New("an unsynced file has survived: the power cut was none")
	}
	return os.Remove(d.canary())
}
