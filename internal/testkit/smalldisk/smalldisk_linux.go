package smalldisk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dirVariable is set in the process that has the disk; its value is the directory.
const dirVariable = "HOLDFAST_SMALL_DISK"

// Run runs f with the directory of a tmpfs of that size ("40m"), which ends with the
// test. A process of its own runs the calling test again for that, in namespaces in
// which it may mount; where there are none the test is skipped. A test calls Run
// once, first of all.
func Run(t *testing.T, size string, f func(dir string)) {
	t.Helper()
	if dir := os.Getenv(dirVariable); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		f(dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), dirVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil {
		t.Skipf("no namespaces to mount a small disk in: %v", err)
	}
	t.Logf("in a process of its own:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

// Fill takes all the space that is left, and returns the file that has it. Called
// again it adds to that.
func Fill(t *testing.T, dir string) (path string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "rest"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return f.Name()
}
