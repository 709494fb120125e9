package crashimages_test

import (
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
)

// Damage at rest, to each record and field of a closed store or journal, is noticed, and
// costs only the damaged records (R8).
func TestDamageAtRest(t *testing.T) {
	checkDamage(t, "a publish store", 2, func(s uint64) (int, error) { return crashimages.DamageFile(s, *sampleEvery) })
	checkDamage(t, "a journal alone", 1, func(s uint64) (int, error) { return crashimages.DamageJournal(s, *sampleEvery) })
}

// A record is lost only if both disks damaged that very record (R8).
func TestDamageOnBoth(t *testing.T) {
	checkDamage(t, "a pair of journals", 200, crashimages.DamagePair)
}

func checkDamage(t *testing.T, subject string, seeds int, damage func(seed uint64) (int, error)) {
	t.Helper()
	total := 0
	for s := range seeds {
		synctest.Test(t, func(t *testing.T) {
			n, err := damage(*seed + uint64(s))
			if err != nil {
				t.Fatal(err)
			}
			total += n
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%s: %d damages", subject, total)
}
