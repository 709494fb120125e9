package reload

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// number is a value that is read from two files.
func number(dir string) (read func() (int, error), one, two string) {
	one, two = filepath.Join(dir, "one"), filepath.Join(dir, "two")
	return func() (int, error) {
		sum := 0
		for _, path := range []string{one, two} {
			b, err := os.ReadFile(path)
			if err != nil {
				return 0, err
			}
			if strings.Contains(string(b), "bad") {
				return 0, errors.New("bad content")
			}
			sum += len(b)
		}
		return sum, nil
	}, one, two
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A value changes with its files, and stays if the new files are bad. An error is reported once for
// each change.
func TestPoll(t *testing.T) {
	read, one, two := number(t.TempDir())
	if _, err := New(read, one, two); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without files: %v", err)
	}
	write(t, one, "1")
	write(t, two, "12")
	v, err := New(read, one, two)
	if err != nil || v.Get() != 3 {
		t.Fatalf("%v, %v", v, err)
	}
	poll := func(step string, tried bool, fails bool, want int) {
		t.Helper()
		got, err := v.Poll()
		if got != tried || (err != nil) != fails || v.Get() != want {
			t.Errorf("%s: read %v, %v, value %d; want %v, an error %v, %d", step, got, err, v.Get(), tried, fails, want)
		}
	}
	poll("unchanged", false, false, 3)
	write(t, two, "123")
	poll("longer, at first", false, false, 3)
	write(t, two, "123")
	write(t, one, "12")
	poll("another change", false, false, 3)
	write(t, one, "1")
	poll("and another one", false, false, 3)
	poll("settled", true, false, 4)
	poll("unchanged", false, false, 4)
	write(t, two, "bad content")
	poll("bad, at first", false, false, 4)
	poll("bad", true, true, 4)
	poll("still bad", false, false, 4)
	if err := v.Reload(); err == nil || v.Get() != 4 {
		t.Errorf("reload of a bad file: %v, value %d", err, v.Get())
	}
	os.Remove(one)
	poll("removed, at first", false, false, 4)
	poll("removed", true, true, 4)
	poll("still removed", false, false, 4)
	write(t, one, "1")
	write(t, two, "12345")
	poll("good again, at first", false, false, 4)
	poll("good again", true, false, 6)

	// The same size, by a rename, with the old time.
	info, err := os.Stat(two)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(two), "other")
	write(t, other, "54321")
	if err := errors.Join(os.Chtimes(other, time.Time{}, info.ModTime()), os.Rename(other, two)); err != nil {
		t.Fatal(err)
	}
	poll("renamed, at first", false, false, 6)
	poll("renamed", true, false, 6)
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "12345")
	for _, tt := range []struct {
		name  string
		path  string
		mode  fs.FileMode
		limit int64
		want  string
	}{
		{"good", path, 0o600, 5, ""},
		{"read only", path, 0o400, 5, ""},
		{"too long", path, 0o600, 4, "more than 4 bytes"},
		{"group", path, 0o640, 5, "mode 0640"},
		{"all", path, 0o604, 5, "mode 0604"},
		{"directory", dir, 0o700, 5, "not a regular file"},
		{"missing", filepath.Join(dir, "none"), 0, 5, "none"},
	} {
		if tt.mode != 0 {
			if err := os.Chmod(tt.path, tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		if runtime.GOOS == "windows" && tt.mode&0o077 != 0 {
			continue
		}
		b, err := ReadFile(tt.path, tt.limit, 0o077)
		if tt.want == "" && (err != nil || string(b) != "12345") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %q, %v", tt.name, b, err)
		}
	}
}
