package bookmarkstore_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(victimEnv); path != "" {
		victim(path) // until it is killed
	}
	goleak.VerifyTestMain(m)
}
