// Package mut names the planted bugs: places where a rule of
// client/GUARANTEES.md can be switched off to see the test that guards it
// fail. Without the build tag "mut" On is constant false and costs nothing;
// with it the environment variable HOLDFAST_MUT lists the rules to break.
package mut

// A Bug is one planted bug. Its text is what HOLDFAST_MUT names.
type Bug string
