//! One more call, in the build that tests/hostile/two-libraries makes for itself: in no header, in no library that is
//! shipped.

use super::guard::call;
use super::status::gptz_status;

/// Panics inside, as a defect would: the answer is GPTZ_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_testing_panic() -> gptz_status {
    call(|| panic!("a panic that was asked for"))
}
