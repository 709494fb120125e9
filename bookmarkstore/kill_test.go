package bookmarkstore_test

const victimEnv = "HOLDFAST_TEST_VICTIM"

func victim(string) {}
