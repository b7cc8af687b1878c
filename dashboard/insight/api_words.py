"""Words of the vendors' APIs. Quoted in the message of an error they belong to the error; any other quoted word belongs
to the request, and two requests differ in it."""

from typing import Final

# What OpenAI's endpoints for batches take (its API reference); a test compares it with the official SDK.
_PARAMETERS: Final = """
access_programs audio background background_options best_of body completion_window complexity context_management
conversation custom_id dimensions echo encoding_format endpoint frame_count frame_duration_ms frequency_penalty
function_call functions image include input input_fidelity input_file_id input_reference instructions logit_bias
logprobs markup mask max_completion_tokens max_output_tokens max_tokens max_tool_calls messages metadata method
modalities model moderation n output_compression output_expires_after output_format parallel_tool_calls
partial_images prediction presence_penalty previous_response_id prompt prompt_cache_key prompt_cache_options
prompt_cache_retention quality reasoning reasoning_effort response_format safety_identifier seconds seed
service_tier size stop store stream stream_options style suffix svg temperature text tool_choice tools top_logprobs
top_p truncation url user verbosity web_search_options
"""
# What stands inside of those.
_MEMBERS: Final = """
annotations arguments cache_control call_id content data detail effort file file_data file_id filename filter
filters format function generate_summary id image_file image_url include_usage index input_audio input_file
input_image input_text instance json json_object json_schema max_num_results media_type message name output
output_text parameters part parts refusal required_action role schema server_label server_url source strict summary
summary_text tool tool_call tool_call_id tool_calls tool_result tool_use tool_use_id type value variables
vector_store_ids
"""
# What others take: Anthropic, Mistral, Groq, vLLM, Gemini, Cohere, Voyage.
_OF_OTHERS: Final = """
add_generation_prompt anthropic_version base64 budget_tokens chat_template chat_template_kwargs contents documents
embedding_types enable_thinking extra_body failed_generation generation_config generationConfig guided_choice
guided_grammar guided_json guided_regex ignore_eos include_reasoning input_type length_penalty max_output
max_tokens_to_sample maxOutputTokens min_p min_tokens output_dimension output_dtype prompt_logprobs query
random_seed reasoning_format redacted_thinking repetition_penalty response_schema responseSchema safe_prompt
safety_settings safetySettings signature skip_special_tokens stop_sequences structured_outputs system
system_instruction systemInstruction texts thinking top_a top_k truncate use_beam_search
"""
_JSON_SCHEMA: Final = """
$defs $ref additionalProperties allOf anyOf const default definitions description enum exclusiveMaximum
exclusiveMinimum items maximum maxItems maxLength minimum minItems minLength multipleOf oneOf pattern
patternProperties prefixItems properties propertyNames required title unevaluatedProperties uniqueItems
"""
# Types, roles, and what Python's validators say.
_TYPES: Final = """
array assistant bool boolean code ctx developer dict error float int integer list loc msg None none null number
object param str string
"""

API_WORDS: Final = frozenset(" ".join((_PARAMETERS, _MEMBERS, _OF_OTHERS, _JSON_SCHEMA, _TYPES)).split())
