//! G-57, SMS pumping: accounts by the thousand, each asking for codes to numbers that earn by receiving them.

use countersign_tests::{
    api::To,
    everywhere,
    refusal::{FOREIGN_PHONE, TOO_MANY_SMS},
    sent::neighbour,
    tenant::Tenant,
};

everywhere! {
    in Tenant::default().with_messages();

    async fn neighbouring_numbers_whose_codes_nobody_types_in_get_twenty_messages(world: World, api: Api) {
        let names: Vec<String> = (0..30).map(|number| format!("bot{number}")).collect();
        let people = world.people(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mut sent = 0;
        for (person, last) in people.iter().zip(1000..) {
            let token = person.mfa_token(&api).await;
            let number = neighbour(last);
            let wish = api.associate_oob(&token, To::Phone("sms", &number));
            if sent < 20 {
                world.sent(wish).await;
                sent += 1;
            } else {
                world.sends_nothing(wish, &TOO_MANY_SMS).await;
            }
        }
        assert_eq!((sent, world.message_ids().len()), (20, 20));
        // Next door somebody who does type them in is not kept waiting.
        let ann = world.person("ann").await;
        ann.enrol_oob(&world, &api, To::Phone("sms", "+12125550123")).await;
    }

    async fn a_country_that_is_not_listed_costs_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        // Cuba, Latvia, Tunisia, Somalia; the last begins as numbers of the United States do, and is Jamaica.
        for number in ["+5351234567", "+37120123456", "+21620123456", "+252611234567", "+18762101234"] {
            for channel in ["sms", "voice"] {
                world.sends_nothing(api.associate_oob(&token, To::Phone(channel, number)), &FOREIGN_PHONE).await;
            }
        }
        assert!(world.message_ids().is_empty());
    }
}
