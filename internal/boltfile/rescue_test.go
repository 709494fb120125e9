package boltfile_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
)

// contents returns every value of a database by its path, and the sequence of each bucket.
func contents(t *testing.T, db *bbolt.DB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var walk func(path string, b *bbolt.Bucket) error
	walk = func(path string, b *bbolt.Bucket) error {
		all[path] = fmt.Sprint("bucket at ", b.Sequence())
		return b.ForEach(func(k, v []byte) error {
			if inner := b.Bucket(k); inner != nil {
				return walk(path+"/"+string(k), inner)
			}
			all[path+"/"+string(k)] = string(v)
			return nil
		})
	}
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return walk(string(name), b) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rescueImage returns the data rescued from an image. found is false if Rescue fails.
func rescueImage(t *testing.T, image []byte) (all map[string]string, losses []boltfile.Loss, found bool) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	to := open(t, filepath.Join(dir, "new.db"))
	defer to.Close()
	losses, err := boltfile.Rescue(path, to)
	if err != nil {
		return nil, nil, false
	}
	return contents(t, to), losses, true
}

// For each page: if the page is damaged, everything that does not depend on it is rescued
// unchanged, and every loss is reported.
func TestRescue(t *testing.T) {
	image := boltfiletest.Image(t, func(path string) {
		fill(t, path)
		db := open(t, path)
		defer db.Close()
		err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("outer")).SetSequence(42) })
		if err != nil {
			t.Fatal(err)
		}
	})
	undamaged, losses, found := rescueImage(t, image)
	if !found || len(losses) > 0 || len(undamaged) < 44 || undamaged["outer"] != "bucket at 42" {
		t.Fatalf("undamaged database: %d values, outer is a %s, losses %v", len(undamaged), undamaged["outer"], losses)
	}
	best := 0
	for page := range len(image) / boltfiletest.PageSize {
		broken := append([]byte{}, image...)
		clear(broken[page*boltfiletest.PageSize:][:boltfiletest.PageSize])
		got, losses, found := rescueImage(t, broken)
		if !found {
			t.Errorf("without page %d Rescue fails", page)
			continue
		}
		for path, value := range got {
			if undamaged[path] != value && page > 1 { // an older meta page leads to earlier values
				t.Errorf("without page %d: %s is %.20q", page, path, value)
			}
		}
		if (page <= 1 || len(got) < len(undamaged)) && len(losses) == 0 {
			t.Errorf("without page %d %d values are missing, and no loss is reported", page, len(undamaged)-len(got))
		}
		if len(losses) > 0 {
			best = max(best, len(got))
			if losses[0].Offset != int64(losses[0].Page)*boltfiletest.PageSize || losses[0].String() == "" {
				t.Errorf("loss %v at %d", losses[0], losses[0].Offset)
			}
		}
	}
	if best < len(undamaged)/2 {
		t.Errorf("no damaged page left more than %d of %d values", best, len(undamaged))
	}
	for name, recipe := range boltfiletest.Recipes(image) {
		for _, fixChecksums := range []bool{false, true} {
			got, _, found := rescueImage(t, boltfiletest.Damage(image, recipe, fixChecksums))
			if name == "as it was" && (!found || !maps.Equal(got, undamaged)) {
				t.Errorf("%s: %d values", name, len(got))
			}
		}
	}
}
