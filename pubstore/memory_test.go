package pubstore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/pubstore/pubstoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	pubstoretest.Run(t, func(*testing.T) pubstoretest.Harness {
		return pubstoretest.Harness{
			Volatile: true,
			Open: func(_ *testing.T, o pubstoretest.Options) pubstore.Store {
				return pubstore.NewMemory(pubstore.MemoryOptions{
					MaxMessages: o.MaxMessages, MaxBytes: o.MaxBytes, FailWhenFull: o.FailWhenFull,
				})
			},
		}
	})
}
