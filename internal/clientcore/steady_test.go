package clientcore

import "testing"

func TestSteady(t *testing.T) {
	type change struct {
		holds bool
		at    int64
	}
	for _, tt := range []struct {
		name    string
		changes []change
		d       int64
		now     int64
		want    bool
	}{
		{"never", nil, 0, 100, false},
		{"at once", []change{{true, 5}}, 0, 5, true},
		{"not long enough", []change{{true, 5}}, 10, 14, false},
		{"long enough", []change{{true, 5}}, 10, 15, true},
		{"set again: counts from the first time", []change{{true, 5}, {true, 12}}, 10, 15, true},
		{"a break", []change{{true, 5}, {false, 8}}, 0, 100, false},
		{"a break: counts from its end", []change{{true, 5}, {false, 8}, {true, 9}}, 10, 18, false},
		{"a break long ago", []change{{true, 5}, {false, 8}, {true, 9}}, 10, 19, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Steady
			for _, c := range tt.changes {
				s.Set(c.holds, c.at)
			}
			if got := s.For(tt.d, tt.now); got != tt.want {
				t.Errorf("For(%d, %d) = %v", tt.d, tt.now, got)
			}
		})
	}
}
