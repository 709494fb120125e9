package users_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/users"
)

// A file is read again once it has settled. A file that cannot be used is reported once and changes
// nothing.
func TestWatched(t *testing.T) {
	file := write(t, handmade)
	w, err := users.Watch(file)
	if err != nil {
		t.Fatal(err)
	}
	age := time.Now().Add(-time.Hour)
	put := func(text string) {
		t.Helper()
		age = age.Add(time.Second) // a file system may give two writes the same time
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, age, age); err != nil {
			t.Fatal(err)
		}
	}
	poll := func(step string, loaded bool, problem string) {
		t.Helper()
		before := w.Set()
		got, err := w.Poll()
		if got != loaded || (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v, %v; want %v, %q", step, got, err, loaded, problem)
		}
		if (w.Set() != before) != loaded {
			t.Errorf("%s: the users have changed: %v", step, w.Set() != before)
		}
	}
	poll("nothing has changed", false, "")
	poll("still", false, "")

	put(strings.Replace(handmade, "name: gateway", "name: portal", 1))
	poll("a change, at first", false, "")
	put(strings.Replace(handmade, "name: gateway", "name: doorway", 1))
	poll("another change", false, "")
	poll("settled", true, "")
	poll("read", false, "")
	if _, found := w.Set().User("doorway"); !found {
		t.Error("the new user is missing")
	}

	put("version: 1\n")
	poll("a bad file, at first", false, "")
	poll("settled", false, "salt_key is missing")
	poll("reported", false, "")
	if err := w.Reload(); err == nil {
		t.Error("reloaded a bad file")
	}
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	poll("no file, at first", false, "")
	poll("settled", false, "cannot be read")
	poll("reported", false, "")
	if _, found := w.Set().User("doorway"); !found {
		t.Error("the old users are gone")
	}
	put(handmade)
	poll("a good file, at first", false, "")
	poll("settled", true, "")
	poll("read", false, "")

	put(strings.Replace(handmade, "name: gateway", "name: portal", 1))
	before := w.Set()
	if err := w.Reload(); err != nil || w.Set() == before {
		t.Errorf("reload does not read at once: %v", err)
	}
	poll("after the reload", false, "")
	poll("still", false, "")
}

// A file that is replaced by one of the same size and time is another file.
func TestWatchedIdentity(t *testing.T) {
	file := write(t, handmade)
	w, err := users.Watch(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(file), "other")
	if err := os.WriteFile(other, []byte(strings.Replace(handmade, "name: gateway", "name: doorway", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, file); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Poll()
	if loaded, err := w.Poll(); err != nil || !loaded {
		t.Errorf("%v, %v", loaded, err)
	}
	if _, err := users.Watch(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("watches no file")
	}
}
