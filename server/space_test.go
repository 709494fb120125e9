package server

import (
	"testing"
	"time"
)

// The time until the disk is full follows from the rate of the last five minutes.
func TestUntilFull(t *testing.T) {
	const gib, reserve = int64(1 << 30), int64(10 << 30)
	for name, c := range map[string]struct {
		samples []spaceSample // at: seconds since the beginning
		after   time.Duration // from the last sample to the question
		want    time.Duration
	}{
		"no sample":             {want: -1},
		"one sample":            {samples: []spaceSample{{free: 20 * gib}}, want: -1},
		"too short":             {samples: at(0, 20*gib, 59, 19*gib), want: -1},
		"shrinks":               {samples: at(0, 21*gib, 60, 20*gib), want: 10 * time.Minute},
		"asked later":           {samples: at(0, 21*gib, 60, 20*gib), after: 10 * time.Second, want: 590 * time.Second},
		"grows":                 {samples: at(0, 20*gib, 60, 21*gib), want: -1},
		"stays":                 {samples: at(0, 20*gib, 60, 20*gib), want: -1},
		"in steps":              {samples: at(0, 21*gib, 20, 21*gib, 40, 20*gib, 60, 20*gib), want: 10 * time.Minute},
		"below the reserve":     {samples: at(0, 21*gib, 60, 9*gib), want: 0},
		"asked too late":        {samples: at(0, 21*gib, 60, 11*gib), after: time.Hour, want: 0},
		"slowly":                {samples: at(0, 1<<62, 60, 1<<62-1), want: 100 * 365 * 24 * time.Hour},
		"shrank long ago":       {samples: at(0, 30*gib, 10, 20*gib, 320, 20*gib, 380, 20*gib), want: -1},
		"only the last minutes": {samples: at(0, 90*gib, 100, 21*gib, 340, 20*gib), want: 40 * time.Minute},
	} {
		var s space
		begin := time.Now()
		now := begin
		for _, sample := range c.samples {
			now = begin.Add(time.Duration(sample.at.Unix()) * time.Second)
			s.noteFree(now, sample.free, reserve)
		}
		if got := s.metrics(now.Add(c.after)).UntilFull; (got < 0) != (c.want < 0) || got.Round(time.Second) != c.want.Round(time.Second) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// at returns samples from seconds and free bytes.
func at(values ...int64) (samples []spaceSample) {
	for i := 0; i < len(values); i += 2 {
		samples = append(samples, spaceSample{time.Unix(values[i], 0), values[i+1]})
	}
	return samples
}

// The number of samples is limited, and the newest one is always kept.
func TestSpaceSamples(t *testing.T) {
	var s space
	begin := time.Now()
	for i := range int64(100_000) {
		s.noteFree(begin.Add(time.Duration(i)*10*time.Millisecond), i, 0)
	}
	if n := len(s.samples); n > 400 || n < 290 || s.samples[n-1].free != 99_999 {
		t.Errorf("%d samples, the last one %+v", n, s.samples[n-1])
	}
}
