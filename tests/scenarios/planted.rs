//! Somebody who knows the password prepares something before its owner enrols.

use countersign_tests::{
    everywhere, otp,
    refusal::{Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn an_enrolment_and_its_code_belong_to_the_login_that_began_them(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (theirs, hers) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        let planted = api.associate(&theirs).await.unwrap();
        let own = api.associate(&hers).await.unwrap();
        assert_eq!(own.recovery_codes.len(), 1, "each login is shown a code of its own");
        assert_eq!(api.associate(&hers).await.unwrap().recovery_codes, Vec::<String>::new(), "once");

        api.otp(BACKEND, &hers, &otp::code_at(&planted.secret, world.now())).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &hers, &otp::code_at(&own.secret, world.now())).await.unwrap();
        api.otp(BACKEND, &theirs, &otp::code_at(&planted.secret, world.now())).await.refused(&WRONG_OTP);
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &planted.recovery_codes[0]).await.refused(&WRONG_RECOVERY_CODE);
        api.recovery(BACKEND, &token, &own.recovery_codes[0]).await.unwrap();
    }

    async fn enrolments_begun_by_others_leave_room(world: World, api: Api) {
        let ann = world.person("ann").await;
        let theirs = ann.mfa_token(&api).await;
        for _ in 0..51 {
            api.associate(&theirs).await.unwrap();
        }
        api.associate(&theirs).await.unwrap_err();
        ann.enrol(&world, &api).await;
    }
}
