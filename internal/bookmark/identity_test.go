package bookmark_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
)

// Ids and checks are part of the file formats, so they must not change.
func TestIdentities(t *testing.T) {
	for _, tt := range []struct {
		name     string
		identity bookmark.Identity
		want     string
	}{
		{"a client name", bookmark.IdentityOfName("pubber"), "7094790850998930143 534fd622a472fdd85d30fd5ee70f2b9f"},
		{"an empty name", bookmark.IdentityOfName(""), "9223372036854775807 61e83adb25ef2f7fefe35be88e7f22a2"},
		{"a life", bookmark.IdentityOfLife("pubber"), "11073530024977219754 2e22cbccc3118391ee3829016804a07d"},
		{"a run", bookmark.IdentityOfRun("pubber", "a", 7), "15222190352941670700 ff7f04c181a0d27db9c13a6d47e7782e"},
	} {
		if got := fmt.Sprintf("%d %x", tt.identity.ID, tt.identity.Check); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The kinds of publishers have separate ids, and no publisher has the id 0, whatever its
// name.
func TestDomains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		name, life, run := bookmark.IdentityOfName(a), bookmark.IdentityOfLife(b), bookmark.IdentityOfRun(a, b, 7)
		if name.ID == 0 || life.ID == 0 || run.ID == 0 || name.ID == life.ID || name.ID == run.ID || life.ID == run.ID {
			t.Fatalf("ids %d, %d and %d", name.ID, life.ID, run.ID)
		}
		if bookmark.IsLife(name.ID) || !bookmark.IsLife(life.ID) || bookmark.IsLife(run.ID) {
			t.Fatal("IsLife is wrong")
		}
	})
}

// A life that has the protocol's hash of another life or of a client name, or the hash 0,
// gets another id. Only two client names can have the same id, and then their checks
// differ.
func TestForgedIdentities(t *testing.T) {
	life := "3f2a0b1c-victim"
	victim := bookmark.IdentityOfLife(life)
	if forged := bookmark.IdentityOfLife(forge.Name("forged ", life)); forged.ID == victim.ID || forged.Check == victim.Check {
		t.Error("a life with the id of another one was found")
	}
	plain := bookmark.IdentityOfName("orders")
	for _, life := range []string{"orders", forge.Name("forged ", "orders")} {
		if bookmark.IdentityOfLife(life).ID == plain.ID {
			t.Errorf("life %q has the id of a plain client", life)
		}
	}
	if forged := bookmark.IdentityOfName(forge.Name("forged ", "orders")); forged.ID != plain.ID || !bookmark.ChecksDiffer(forged.Check, plain.Check) {
		t.Errorf("another client name: id %d, checks differ %v, want %d and true", forged.ID, bookmark.ChecksDiffer(forged.Check, plain.Check), plain.ID)
	}
}

func TestChecksDiffer(t *testing.T) {
	a, b, unknown := bookmark.Check{1}, bookmark.Check{2}, bookmark.Check{}
	if !bookmark.ChecksDiffer(a, b) || bookmark.ChecksDiffer(a, a) || bookmark.ChecksDiffer(a, unknown) || bookmark.ChecksDiffer(unknown, b) {
		t.Error("only two known checks can differ")
	}
}
